import { byId, make, say, show } from "./dom.js";
import { Spark } from "./spark.js";
import { bytes, count, many, rate, seconds } from "./words.js";

const isIn = ([direction]) => direction === "in";
const isOut = ([direction]) => direction === "out";
const isRefused = ([outcome]) => outcome === "refused";
const perSecond = (value) => `${rate(value)}/s`;
const MESSAGES = "gateway_messages_total";
const BYTES = "gateway_bytes_total";
const HANDSHAKES = "gateway_opening_handshakes_total";
const ERRORS = "gateway_handler_errors_total";

const TILES = [
  {
    id: "connections",
    label: "Connections",
    value: (fleet) => fleet.nodes.reduce((sum, { connections }) => sum + connections, 0),
    text: count,
    more: (fleet) => `of ${count(fleet.sum("gateway_max_connections"))} at most`,
  },
  {
    id: "messages-in",
    label: "Messages in",
    value: (fleet) => fleet.rate(MESSAGES, isIn),
    text: perSecond,
    more: (fleet) => `${count(fleet.sum(MESSAGES, isIn))} since start`,
  },
  {
    id: "messages-out",
    label: "Messages out",
    value: (fleet) => fleet.rate(MESSAGES, isOut),
    text: perSecond,
    more: (fleet) => `${count(fleet.sum(MESSAGES, isOut))} since start`,
  },
  {
    id: "bytes",
    label: "Traffic",
    value: (fleet) => fleet.rate(BYTES),
    text: (value) => `${bytes(value)}/s`,
    more: (fleet) => `in ${bytes(fleet.rate(BYTES, isIn))}, out ${bytes(fleet.rate(BYTES, isOut))}`,
  },
  {
    id: "handshakes",
    label: "Opening handshakes",
    value: (fleet) => fleet.rate(HANDSHAKES),
    text: perSecond,
    more: (fleet) => `${count(fleet.lately(HANDSHAKES, isRefused))} refused in the last minute`,
  },
  {
    id: "waiting",
    label: "Waiting to be sent",
    value: (fleet) => fleet.sum("gateway_send_queue_bytes"),
    text: bytes,
    more: (fleet) => `for ${many(fleet.sum("gateway_slow_connections"), "slow client")}`,
  },
  {
    id: "errors",
    label: "Errors of handlers",
    value: (fleet) => fleet.lately(ERRORS),
    text: count,
    more: (fleet) => `in the last minute, ${count(fleet.sum(ERRORS))} since start`,
  },
  {
    id: "lag",
    label: "Event loop late by",
    value: (fleet) => fleet.greatest("gateway_worker_loop_lag_seconds"),
    text: seconds,
    more: () => "at most, in the last 30 s",
  },
];

/** The tiles of the overview: a figure, its last minute as a small chart, and what goes with it. */
export class Tiles {
  #fleet;
  #tiles;

  constructor(fleet) {
    this.#fleet = fleet;
    this.#tiles = TILES.map((tile) => {
      const value = make("dd", "tile-value", "–");
      value.id = `tile-${tile.id}`;
      const more = make("dd", "tile-more note");
      const spark = new Spark();
      const element = make("dl", "card tile", make("dt", "", tile.label), value, more, make("dd", "tile-chart", spark.element));
      return { ...tile, element, shown: value, said: more, spark };
    });
    byId("tiles").replaceChildren(...this.#tiles.map(({ element }) => element));
  }

  /** Write the figures as they are now. */
  write() {
    for (const { value, text, more, shown, said } of this.#tiles) {
      const now = value(this.#fleet);
      show(shown, text(now), now);
      say(said, more(this.#fleet));
    }
  }

  /** Go on with the charts by a second. */
  beat() {
    for (const { value, spark } of this.#tiles) spark.add(value(this.#fleet));
  }
}
