import { byId, make } from "./dom.js";
import { many, plain, seconds, span } from "./words.js";

const LATE_SECONDS = 0.25;
const FULL = 0.9;
const CERTIFICATE_SECONDS = 14 * 86_400;
const LOSSES = {
  gateway_broker_gaps_total: (n) => `Publications of other nodes may have been missed, ${many(n, "time")} in the last minute.`,
  gateway_broker_publications_lost_total: (n) => `${many(n, "publication")} could not be sent to other nodes in the last minute.`,
  gateway_broker_publications_refused_total: (n) => `The broker refused ${many(n, "publication")} in the last minute.`,
  gateway_messages_dropped_total: (n) => `${many(n, "message")} thrown away at full send queues in the last minute.`,
};

/** Say what an operator should look at: `{bad, text}` each. */
export function* complaints(fleet, now = Date.now() / 1000) {
  for (const { node, host, draining, broker } of fleet.nodes) {
    if (broker.down) yield { bad: true, text: `Node ${node} on ${host} has no broker that carries.` };
    if (draining) yield { bad: false, text: `Node ${node} on ${host} is draining.` };
  }
  const open = fleet.nodes.reduce((sum, { connections }) => sum + connections, 0);
  const most = fleet.sum("gateway_max_connections");
  if (most > 0 && open >= FULL * most) yield { bad: true, text: `${Math.floor((100 * open) / most)} % of the connections are taken.` };
  const late = fleet.greatest("gateway_worker_loop_lag_seconds");
  if (late >= LATE_SECONDS) yield { bad: true, text: `An event loop was late by ${seconds(late)}: something blocks it.` };
  for (const [family, text] of Object.entries(LOSSES)) {
    const lost = fleet.lately(family);
    if (lost > 0) yield { bad: true, text: text(lost) };
  }
  for (const { labels } of fleet.rows("gateway_plugin_stopped")) {
    yield { bad: true, text: `The plugin ${labels[0]} is stopped for a while, since it fails.` };
  }
  for (const { labels, minute } of fleet.rows("gateway_loop_blocks_total")) {
    const [plugin, file, line] = labels;
    const who = plugin ? `The plugin ${plugin} (${file}:${line})` : "Something";
    if (minute > 0) yield { bad: true, text: `${who} has blocked an event loop, ${many(minute, "time")} in the last minute.` };
  }
  for (const { labels, minute } of fleet.rows("gateway_handler_errors_total")) {
    if (minute > 0) {
      const [plugin, handler, kind] = labels;
      const what = plugin && plugin !== handler ? `${handler} of the plugin ${plugin}` : handler;
      yield { bad: false, text: `Handler ${what}: ${many(minute, plain(kind), `${plain(kind)}s`)} in the last minute.` };
    }
  }
  for (const { labels, value } of fleet.rows("gateway_certificate_end_seconds")) {
    const left = value - now;
    if (left < CERTIFICATE_SECONDS) {
      yield { bad: left <= 0, text: `The certificate ${labels[0]} ${left > 0 ? `ends in ${span(left)}` : "has ended"}.` };
    }
  }
}

/** Write the line that says how things stand, and what there is to look at. */
export function writeHealth(fleet) {
  const box = byId("health");
  const found = [...complaints(fleet)];
  const brokers = [...new Set(fleet.nodes.map(({ broker }) => broker.type))].join(", ");
  const well = `All is well: ${many(fleet.nodes.length, "node")}, broker ${brokers}.`;
  const texts = found.length > 0 ? found.map(({ text }) => text) : [well];
  if (!fleet.counts) texts.push("Nothing is counted here: metrics are switched off in gateway.yaml.");
  box.dataset.health = found.some(({ bad }) => bad) ? "bad" : found.length > 0 ? "warn" : "good";
  // Said aloud when it changes, and not each second.
  if (box.textContent !== texts.join("")) box.replaceChildren(...texts.map((text) => make("p", "", text)));
}
