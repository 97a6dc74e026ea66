import { Clock } from "./clock.js";
import { frameBytes, handshakeBytes, utf8Bytes } from "./wire.js";

const SILENT_INTERVALS = 5;
const LEAST_SILENCE_SECONDS = 15;
const SECOND_READING_MS = 3000;
// What the tally leaves out: polling carries no texts, so they would spoil the comparison.
const TEXTS = new Set(["push", "pushed", "error"]);

/**
 * What this page and the gateway say to each other over the channel: JSON in, JSON out, and each byte counted that
 * the figures cost.
 *
 * An event for each type of message that comes, with the message as its detail: `snapshot`, `figures`, `hello`,
 * `push`, `pushed`, `error`. The samples of the first two go into the tally.
 */
export class Conversation extends EventTarget {
  #channel;
  #clock;
  #tally;
  #consumer;
  #again;

  /**
   * @param {import("./channel.js").Channel} channel
   * @param {import("./tally.js").Tally} tally
   * @param {Clock} clock
   * @param {string} consumer the consumer id to say hello with
   */
  constructor(channel, tally, clock, consumer) {
    super();
    this.#channel = channel;
    this.#tally = tally;
    this.#clock = clock;
    this.#consumer = consumer;
    channel.addEventListener("state", ({ detail }) => this.#enter(detail.state));
    channel.addEventListener("message", ({ detail }) => this.#take(detail.data));
    channel.addEventListener("sent", ({ detail }) => {
      if (!TEXTS.has(detail.value.type)) tally.bytes += frameBytes(utf8Bytes(detail.data), { masked: true });
    });
    this.addEventListener("snapshot", ({ detail }) => this.#takeSnapshot(detail));
    this.addEventListener("figures", ({ detail }) => this.#takeFigures(detail));
    this.addEventListener("hello", ({ detail }) => clock.read(detail.at, detail.now, Clock.local()));
  }

  get consumer() {
    return this.#consumer;
  }

  /** Say hello with this consumer id, now and after each reconnection. */
  hello(consumer) {
    this.#consumer = consumer;
    return this.#channel.sendJson({ type: "hello", consumer, at: Clock.local() });
  }

  /** Push a text to `everyone` or to one consumer id. */
  push(to, text) {
    return this.#channel.sendJson({ type: "push", to, text });
  }

  #enter(state) {
    if (state === "connecting") this.#tally.requests += 1;
    if (state !== "open") return;
    this.#tally.bytes += handshakeBytes(this.#channel.socket);
    this.#clock.forget();
    this.hello(this.#consumer);
    // The first answer competes with the page's own start; a later one reads the clock better.
    clearTimeout(this.#again);
    this.#again = setTimeout(() => this.hello(this.#consumer), SECOND_READING_MS);
  }

  #take(data) {
    if (typeof data !== "string") return;
    let message = null;
    try {
      message = JSON.parse(data);
    } catch {
      // Another handler of the route may send what it likes.
    }
    if (!TEXTS.has(message?.type)) {
      this.#tally.messages += 1;
      this.#tally.bytes += frameBytes(utf8Bytes(data));
    }
    if (typeof message?.type === "string") this.dispatchEvent(new CustomEvent(message.type, { detail: message }));
  }

  #takeSnapshot({ fields, rows, interval_seconds: interval }) {
    this.#channel.silenceSeconds = Math.max(LEAST_SILENCE_SECONDS, interval * SILENT_INTERVALS);
    for (const row of rows) this.#tally.add(Object.fromEntries(fields.map((field, i) => [field, row[i]])));
  }

  #takeFigures(figures) {
    if (this.#tally.add(figures)) this.#tally.addArrival(figures, Clock.local());
  }
}
