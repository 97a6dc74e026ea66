import { get } from "./api.js";
import { byId } from "./dom.js";
import { reckon } from "./fleet.js";
import { Table } from "./table.js";
import { count, NOTHING, plain, seconds } from "./words.js";

const TIMES = "gateway_handler_seconds";
const ERRORS = "gateway_handler_errors_total";
const HARM = {
  under: "gateway_plugin_events_under_way",
  stopped: "gateway_plugin_stopped",
  stops: "gateway_plugin_stops_total",
  turned: "gateway_plugin_turned_away_total",
  tasks: "gateway_plugin_tasks_left_total",
};
const key = ({ labels }) => labels.join("\u0000");
const byCount = (one, other) => other.minute - one.minute || other.value - one.value;
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
  #blocks = new Table(byId("blocks-table"), {
    name: "Lines of plugins that blocked an event loop",
    columns: [
      part("Plugin", 0, "lead"),
      { label: "Where", className: "long mono", text: ({ labels }) => (labels[1] ? `${labels[1]}:${labels[2]}` : NOTHING) },
      { label: "Last minute", className: "number", text: ({ minute }) => count(minute) },
      { label: "Since start", className: "number", text: ({ value }) => count(value) },
    ],
    key,
    empty: "Nothing has.",
  });
  #harm = new Table(byId("harm-table"), {
    name: "Plugins with events under way, that were stopped, or left tasks behind",
    columns: [
      { label: "Plugin", className: "lead", text: ({ plugin }) => plugin || NOTHING },
      { label: "State", text: ({ stopped }) => (stopped > 0 ? "stopped" : "works") },
      { label: "Under way", className: "number", text: ({ under }) => count(under) },
      { label: "Stops", className: "number", text: ({ stops }) => count(stops) },
      { label: "Turned away", className: "number", text: ({ turned }) => count(turned) },
      { label: "Tasks left", className: "number", text: ({ tasks }) => count(tasks) },
    ],
    key: ({ plugin }) => plugin,
    empty: "No plugin has met a limit.",
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
    this.#blocks.show(this.#fleet.rows("gateway_loop_blocks_total").sort(byCount));
    this.#harm.show(this.#harmRows());
    this.#errors.show(this.#fleet.rows(ERRORS).sort(byCount));
  }

  #harmRows() {
    const rows = new Map();
    for (const [name, family] of Object.entries(HARM)) {
      for (const { labels: [plugin], value } of this.#fleet.rows(family)) {
        const nothing = { plugin, under: 0, stopped: 0, stops: 0, turned: 0, tasks: 0 };
        const row = rows.get(plugin) ?? nothing;
        row[name] += value;
        rows.set(plugin, row);
      }
    }
    return [...rows.values()].sort((one, other) => one.plugin.localeCompare(other.plugin));
  }
}
