import { byId, make } from "./dom.js";
import { Listing } from "./listing.js";
import { Table } from "./table.js";
import { count, many, rate } from "./words.js";

/** The view of groups: found by search, with the ways to their members and to publishing. */
export class Groups {
  #fleet;
  #listing;
  #disconnecting;
  #patterns;

  /**
   * @param {import("./fleet.js").Fleet} fleet
   * @param {import("./disconnecting.js").Disconnecting} disconnecting
   */
  constructor(fleet, disconnecting) {
    this.#fleet = fleet;
    this.#disconnecting = disconnecting;
    const table = new Table(byId("groups-table"), {
      name: "Groups",
      columns: [
        { label: "Group", className: "lead long", text: ({ group }) => group },
        { label: "Connections", className: "number", text: ({ connections }) => count(connections) },
        { label: "History", text: ({ history }) => (history ? "kept" : "no") },
        { label: "Presence", text: ({ presence }) => ({ off: "no", count: "counted", members: "members" })[presence] },
        { label: "", className: "act", build: (row) => this.#actions(row) },
      ],
      key: ({ group }) => group,
      empty: "",
    });
    this.#listing = new Listing(
      "groups",
      table,
      () => ({ search: byId("groups-search").value.trim() }),
      ({ next }, shown) => (next === null ? many(shown, "group") : `the first ${count(shown)}`),
    );
    this.#listing.hear(byId("groups-search"));
    disconnecting.addEventListener("done", () => this.#listing.refresh());
    this.#patterns = new Table(byId("patterns-table"), {
      name: "Publications and deliveries by pattern of groups",
      columns: [
        { label: "Pattern", className: "lead long", text: ({ pattern }) => pattern },
        { label: "Published", className: "number", text: ({ published }) => `${rate(published)}/s` },
        { label: "Delivered", className: "number", text: ({ delivered }) => `${rate(delivered)}/s` },
        { label: "Published since start", className: "number", text: ({ all }) => count(all) },
      ],
      key: ({ pattern }) => pattern,
      empty: "Nothing was published yet.",
    });
  }

  /** Ask from now on. */
  start() {
    this.#listing.start();
  }

  /** Ask no more. */
  stop() {
    this.#listing.stop();
  }

  /** Write the figures as they are now. */
  write() {
    const rows = this.#fleet.rows("gateway_publications_total").map(({ labels: [pattern], value }) => {
      const wanted = ([each]) => each === pattern;
      return {
        pattern,
        published: this.#fleet.rate("gateway_publications_total", wanted),
        delivered: this.#fleet.rate("gateway_deliveries_total", wanted),
        all: value,
      };
    });
    this.#patterns.show(rows.sort((one, other) => other.all - one.all));
  }

  #actions(row) {
    const { group } = row();
    const query = new URLSearchParams({ group });
    const link = (view, text) => {
      const element = make("a", "", text, make("span", "unseen", ` ${group}`));
      element.href = `#${view}?${query}`;
      return element;
    };
    const button = make("button", "quiet small", "Disconnect", make("span", "unseen", ` the members of ${group}`));
    button.type = "button";
    this.#disconnecting.guard(button);
    button.addEventListener("click", () =>
      this.#disconnecting.ask({
        title: "Disconnect a group",
        what: `All members of the group ${group}: ${many(row().connections, "connection")}.`,
        target: { group },
      }),
    );
    return make("span", "acts", link("connections", "Members"), link("publish", "Publish"), button);
  }
}
