import { byId, make, say } from "./dom.js";
import { Table } from "./table.js";
import { bytes, count, many, NOTHING, plain, rate, seconds, span } from "./words.js";

const STATES = { ready: "Ready", draining: "Draining", bad: "Broker down" };
const BROKER = [
  "gateway_broker_reconnects_total",
  "gateway_broker_gaps_total",
  "gateway_broker_publications_lost_total",
  "gateway_broker_publications_unproved_total",
  "gateway_broker_publications_refused_total",
  "gateway_broker_messages_dropped_total",
  "gateway_recoveries_total",
  "gateway_history_gaps_total",
  "gateway_history_holes_total",
  "gateway_history_repeats_total",
];
// What a node has sent itself comes back to it, and is thrown away: nothing is wrong with that.
const isLoss = ({ labels }) => labels[0] !== "own";

/** The view of nodes and the broker between them. */
export class Nodes {
  #fleet;
  #cards = new Map();
  #broker = new Table(byId("broker-table"), {
    name: "What the broker and history had to mend",
    columns: [
      { label: "What", className: "lead long", text: ({ text }) => text },
      { label: "Last minute", className: "number", text: ({ minute }) => count(minute) },
      { label: "Since start", className: "number", text: ({ value }) => count(value) },
    ],
    key: ({ key }) => key,
    empty: "Nothing was lost, dropped or recovered.",
  });

  /** @param {import("./fleet.js").Fleet} fleet */
  constructor(fleet) {
    this.#fleet = fleet;
  }

  /** Write them as they are now. */
  write() {
    const nodes = this.#fleet.nodes;
    say(byId("nodes-count"), many(nodes.length, "node"));
    const names = new Set(nodes.map(({ node }) => node));
    for (const [name, { element }] of this.#cards) {
      if (!names.has(name)) {
        element.remove();
        this.#cards.delete(name);
      }
    }
    nodes.forEach((about, at) => {
      const card = this.#cards.get(about.node) ?? this.#build(about);
      const host = byId("nodes");
      if (host.children[at] !== card.element) host.insertBefore(card.element, host.children[at] ?? null);
      this.#fill(card, about);
    });
    this.#broker.show(this.#brokerRows());
  }

  #build({ node, host, worker }) {
    const state = make("span", "badge");
    const title = make("h3", "", worker === null ? host : `${host}, worker ${worker}`);
    const [own, broker] = [make("dl", "facts"), make("dl", "facts")];
    const element = make("article", "card node", make("header", "node-head", title, state), make("p", "note mono", node), own, broker);
    const card = { element, state, own, broker, values: new Map() };
    this.#cards.set(node, card);
    return card;
  }

  #fill(card, about) {
    const { node, broker } = about;
    const { state } = card;
    const name = broker.down ? "bad" : about.draining ? "draining" : "ready";
    say(state, STATES[name]);
    state.dataset.state = name;
    const of = (family) => this.#fleet.of(node, `gateway_${family}`);
    const cpu = this.#fleet.rate("gateway_worker_cpu_seconds_total", () => true, node);
    const files = of("worker_open_files");
    this.#write(card, card.own, [
      ["Up for", span(Date.now() / 1000 - about.started_at)],
      ["Connections", count(about.connections)],
      ["Groups", count(about.groups)],
      ["CPU", `${rate(100 * cpu)} %`],
      ["Memory", bytes(of("worker_resident_bytes"))],
      ["Loop late by", seconds(of("worker_loop_lag_seconds"))],
      ["Open files", files ? `${count(files)} of ${count(of("worker_max_files"))}` : NOTHING],
      ["Process", String(about.pid)],
      ["Version", about.version],
    ]);
    this.#write(card, card.broker, [
      ["Broker", broker.connected ? broker.type : `${broker.type}, not connected`],
      ["Round trip", seconds(broker.round_trip_seconds)],
      ["Connected for", broker.seconds === null ? NOTHING : span(broker.seconds)],
      ["Reconnects", count(broker.reconnects)],
    ]);
  }

  #write({ values }, list, pairs) {
    for (const [label, text] of pairs) {
      if (!values.has(label)) {
        values.set(label, make("dd"));
        list.append(make("div", "", make("dt", "", label), values.get(label)));
      }
      say(values.get(label), text);
    }
  }

  #brokerRows() {
    return BROKER.flatMap((family) =>
      this.#fleet.rows(family).filter(isLoss).map(({ labels, value, minute }) => {
        const text = this.#fleet.families[family]?.text ?? family;
        const which = labels.length > 0 ? ` (${labels.map(plain).join(", ")})` : "";
        return { key: [family, ...labels].join(" "), text: `${text.replace(/, by (reason|outcome)\.$|\.$/, "")}${which}`, value, minute };
      }),
    );
  }
}
