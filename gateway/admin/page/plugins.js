import { get } from "./api.js";
import { byId } from "./dom.js";
import { reckon } from "./fleet.js";
import { Table } from "./table.js";
import { count, NOTHING, plain, seconds } from "./words.js";

const TIMES = "gateway_handler_seconds";
const ERRORS = "gateway_handler_errors_total";
const key = ({ labels }) => labels.join("\u0000");
const part = (label, at, className = "") => ({ label, className, text: ({ labels }) => labels[at] || NOTHING });
const most = (value, bounds) =>
  value === null ? NOTHING : value === Infinity ? `over ${seconds(bounds.at(-1))}` : `under ${seconds(value)}`;

/** The view of plugins: how long their events take, what fails, and what is installed. */
export class Plugins {
  #fleet;
  #times = new Table(byId("times-table"), {
    name: "Times of events by plugin, handler and event",
    columns: [
      part("Handler", 1, "lead"),
      part("Plugin", 0),
      part("Event", 2, "mono"),
      { label: "Timed, last minute", className: "number", text: ({ lately }) => count(lately.count) },
      { label: "Mean", className: "number", text: ({ lately }) => seconds(lately.mean) },
      { label: "99 %", className: "number", text: ({ lately, bounds }) => most(lately.most, bounds) },
      { label: "Since start", className: "number", text: ({ ever }) => count(ever.count) },
      { label: "Mean, since start", className: "number", text: ({ ever }) => seconds(ever.mean) },
      { label: "99 %, since start", className: "number", text: ({ ever, bounds }) => most(ever.most, bounds) },
    ],
    key,
    empty: "No event was timed yet.",
  });
  #errors = new Table(byId("errors-table"), {
    name: "Errors of handlers by plugin, handler and kind",
    columns: [
      part("Handler", 1, "lead"),
      part("Plugin", 0),
      { label: "Kind", text: ({ labels }) => plain(labels[2]) },
      { label: "Last minute", className: "number", text: ({ minute }) => count(minute) },
      { label: "Since start", className: "number", text: ({ value }) => count(value) },
    ],
    key,
    empty: "No handler has failed.",
  });
  #installed = new Table(byId("installed-table"), {
    name: "Installed plugins",
    columns: [
      { label: "Plugin", className: "lead", text: ({ name }) => name },
      { label: "Distribution", text: ({ distribution, off }) => (off ? "switched off" : (distribution ?? "the gateway's own")) },
      { label: "Version", text: ({ version }) => version || NOTHING },
      { label: "Handlers", className: "long", text: ({ handlers }) => handlers.join(", ") || NOTHING },
      { label: "Ways to authenticate", className: "long", text: ({ ways }) => ways.join(", ") || NOTHING },
    ],
    key: ({ name }) => name,
    empty: "No plugin is installed.",
  });

  /** @param {import("./fleet.js").Fleet} fleet */
  constructor(fleet) {
    this.#fleet = fleet;
  }

  /** Ask what is installed. */
  async start() {
    const { plugins, disabled } = await get("plugins").catch(() => ({ plugins: null }));
    if (plugins === null) return;
    const off = disabled.map((name) => ({ name, off: true, handlers: [], ways: [] }));
    this.#installed.show([...plugins, ...off]);
  }

  /** Write the figures as they are now. */
  write() {
    const bounds = this.#fleet.families[TIMES]?.bounds ?? [];
    const rows = this.#fleet
      .rows(TIMES)
      .map(({ labels, value, minute }) => ({ labels, bounds, ever: reckon(value, bounds), lately: reckon(minute, bounds) }));
    this.#times.show(rows.sort((one, other) => key(one).localeCompare(key(other))));
    this.#errors.show(this.#fleet.rows(ERRORS).sort((one, other) => other.minute - one.minute || other.value - one.value));
  }
}
