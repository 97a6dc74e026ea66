import { get } from "./api.js";
import { byId, facts, make } from "./dom.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";
import { bytes, count, many, NOTHING, seconds, span, when } from "./words.js";

const now = () => Date.now() / 1000;

/** The view of connections: found by search, route and group, each with its details. */
export class Connections {
  #listing;
  #disconnecting;
  #shown = null;

  /** @param {import("./disconnecting.js").Disconnecting} disconnecting */
  constructor(disconnecting) {
    this.#disconnecting = disconnecting;
    const table = new Table(byId("connections-table"), {
      name: "Connections",
      columns: [
        { label: "User", className: "lead", build: (row) => this.#who(row) },
        { label: "Route", className: "long lines", text: ({ route, path }) => (path === route ? route : `${route}\n${path}`) },
        { label: "Address", className: "word", text: ({ remote }) => remote || NOTHING },
        { label: "Open for", className: "number", text: ({ opened_at }) => span(now() - opened_at) },
        { label: "In", className: "number", text: ({ messages_in }) => count(messages_in) },
        { label: "Out", className: "number", text: ({ messages_out }) => count(messages_out) },
        { label: "Waiting", className: "number", text: ({ queued_bytes }) => bytes(queued_bytes) },
        { label: "Round trip", className: "number", text: (row) => seconds(row.round_trip_seconds) },
        { label: "", className: "act", build: (row) => this.#button(row) },
      ],
      key: ({ id }) => id,
      empty: "",
    });
    const [search, route, group] = ["search", "route", "group"].map((field) => byId(`connections-${field}`));
    this.#listing = new Listing(
      "connections",
      table,
      () => ({ search: search.value.trim(), route: route.value, group: group.value.trim() }),
      ({ total }, shown) => (shown < total ? `${count(shown)} of ${count(total)}` : many(total, "connection")),
    );
    this.#listing.hear(search, route, group);
    disconnecting.addEventListener("done", () => this.#listing.refresh());
    disconnecting.guard(byId("details-disconnect"));
    byId("details-disconnect").addEventListener("click", () => {
      byId("details").close();
      this.#disconnect(this.#shown);
    });
  }

  /** Ask from now on; `query` may name a group, a route or what to search for. */
  start(query) {
    for (const field of ["search", "group"]) {
      if (query.has(field)) byId(`connections-${field}`).value = query.get(field);
    }
    this.#fillRoutes();
    this.#listing.start();
  }

  /** Ask no more. */
  stop() {
    this.#listing.stop();
  }

  async #fillRoutes() {
    const choice = byId("connections-route");
    const { routes } = await get("routes").catch(() => ({ routes: null }));
    if (routes === null || choice.options.length === routes.length + 1) return;
    const chosen = choice.value;
    choice.replaceChildren(new Option("All", ""), ...routes.map(({ name }) => new Option(name, name)));
    choice.value = routes.some(({ name }) => name === chosen) ? chosen : "";
  }

  #who(row) {
    const { user, id } = row();
    const button = make("button", "plain", user ?? "anonymous", make("span", "unseen", ": details of the connection "));
    button.type = "button";
    button.append(make("span", "id mono", id));
    button.addEventListener("click", () => this.#show(row()));
    if (user === null) button.classList.add("nobody");
    return button;
  }

  #button(row) {
    const { user, id } = row();
    const button = make("button", "quiet small", "Disconnect", make("span", "unseen", ` ${user ?? ""} ${id}`));
    button.type = "button";
    this.#disconnecting.guard(button);
    button.addEventListener("click", () => this.#disconnect(row()));
    return button;
  }

  #disconnect({ id, user, route }) {
    this.#disconnecting.ask({
      title: "Disconnect",
      what: `The connection ${id} of ${user ?? "somebody anonymous"} on the route ${route}.`,
      target: { connection: id },
      user,
    });
  }

  #show(row) {
    this.#shown = row;
    const groups = row.groups.length < row.group_count ? [...row.groups, `and ${row.group_count - row.groups.length} more`] : row.groups;
    facts(byId("details-facts"), [
      ["Id", make("code", "", row.id)],
      ["User", row.user ?? "anonymous"],
      ["Proved by", row.way ?? NOTHING],
      ["Route", row.route],
      ["Path", row.path],
      ["Address", row.remote || NOTHING],
      ["Open since", `${when(row.opened_at)}, for ${span(now() - row.opened_at)}`],
      ["Identity ends", row.expires_at === null ? NOTHING : when(row.expires_at)],
      ["Subprotocol", row.subprotocol ?? NOTHING],
      ["Messages", `${count(row.messages_in)} in, ${count(row.messages_out)} out`],
      ["Bytes", `${bytes(row.bytes_in)} in, ${bytes(row.bytes_out)} out`],
      ["Waiting to be sent", bytes(row.queued_bytes)],
      ["Round trip", seconds(row.round_trip_seconds)],
      ["Groups", groups.length > 0 ? groups.join(", ") : "none"],
      ["Node", make("code", "", row.node)],
    ]);
    byId("details").showModal();
    byId("details-title").focus();
  }
}
