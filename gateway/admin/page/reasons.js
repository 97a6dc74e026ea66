import { byId } from "./dom.js";
import { nameOf } from "./close-codes.js";
import { Table } from "./table.js";
import { count, plain } from "./words.js";

const number = (key) => ({ className: "number", text: (row) => count(row[key]) });
const LATELY = { label: "Last minute", ...number("minute") };
const IN_ALL = { label: "Since start", ...number("value") };
const byCount = (one, other) => other.value - one.value || one.labels.join().localeCompare(other.labels.join());
const key = ({ labels }) => labels.join("\u0000");

/** The tables of the overview: routes, and why connections ended, were refused, or met a limit. */
export class Reasons {
  #fleet;
  #tables = {
    routes: new Table(byId("routes-table"), {
      name: "Routes and their connections",
      columns: [
        { label: "Route", className: "lead", text: ({ labels }) => labels[0] },
        { label: "Open", ...number("open") },
        { label: "Opened, last minute", ...number("minute") },
        { label: "Since start", ...number("value") },
      ],
      key,
      empty: "No connection has been opened yet.",
    }),
    closes: new Table(byId("closes-table"), {
      name: "Ends of connections by who closed and close code",
      columns: [
        { label: "Close code", className: "lead", text: ({ labels }) => `${labels[1]} ${nameOf(labels[1])}`.trim() },
        { label: "By", text: ({ labels }) => labels[0] },
        LATELY,
        IN_ALL,
      ],
      key,
      empty: "No connection has ended yet.",
    }),
    refusals: new Table(byId("refusals-table"), {
      name: "Refused opening handshakes by reason",
      columns: [{ label: "Reason", className: "lead", text: ({ labels }) => plain(labels[1]) }, LATELY, IN_ALL],
      key,
      empty: "None was refused.",
    }),
    limits: new Table(byId("limits-table"), {
      name: "What limits turned away",
      columns: [{ label: "Limit", className: "lead mono", text: ({ labels }) => labels[0] }, LATELY, IN_ALL],
      key,
      empty: "No limit was reached.",
    }),
  };

  constructor(fleet) {
    this.#fleet = fleet;
  }

  /** Write them as they are now. */
  write() {
    const fleet = this.#fleet;
    const open = new Map(fleet.rows("gateway_connections").map(({ labels, value }) => [labels[0], value]));
    const routes = fleet.rows("gateway_connections_opened_total");
    this.#tables.routes.show(
      routes
        .map((row) => ({ ...row, open: open.get(row.labels[0]) ?? 0 }))
        .sort((one, other) => other.open - one.open || byCount(one, other)),
    );
    this.#tables.closes.show(fleet.rows("gateway_connections_closed_total").sort(byCount));
    const refused = fleet.rows("gateway_opening_handshakes_total").filter(({ labels }) => labels[0] === "refused");
    this.#tables.refusals.show(refused.sort(byCount));
    this.#tables.limits.show(fleet.rows("gateway_limits_total").sort(byCount));
  }
}
