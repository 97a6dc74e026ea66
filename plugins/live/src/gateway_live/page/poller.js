import { pollAnswerBytes, pollRequestBytes } from "./wire.js";

const TIMEOUT_SECONDS = 10;
// Without it the requests would lock to the beat of the sampling, and the delay would be a matter of luck.
const JITTER = 0.2;

/**
 * The old way: an HTTP request at every interval, whether there is news or not.
 *
 * Events: `answer` with detail `{figures, bytes}`; `failure` with detail `{bytes}`.
 */
export class Poller extends EventTarget {
  #url;
  #timer = null;
  #busy = false;

  /** @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
  }

  /** Ask at once, and then every so many seconds, each time a fifth sooner or later. */
  start(intervalSeconds) {
    clearTimeout(this.#timer);
    const pause = intervalSeconds * (1 + JITTER * (2 * Math.random() - 1));
    this.#timer = setTimeout(() => this.start(intervalSeconds), pause * 1000);
    this.#ask();
  }

  async #ask() {
    if (this.#busy) return; // One request at a time: a slow gateway is not helped by a second one.
    this.#busy = true;
    let bytes = 0; // A request that never got through cost nothing that this page could count.
    try {
      const response = await fetch(this.#url, { signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000) });
      const body = await response.arrayBuffer();
      const timing = performance.getEntriesByName(this.#url, "resource").at(-1);
      performance.clearResourceTimings(); // The browser keeps 250 of them and drops what comes after.
      bytes = pollRequestBytes(this.#url) + pollAnswerBytes(response, body, timing);
      if (!response.ok) throw new Error(`status ${response.status}`);
      const figures = JSON.parse(new TextDecoder().decode(body));
      this.#tell("answer", { figures, bytes });
    } catch {
      this.#tell("failure", { bytes });
    } finally {
      this.#busy = false;
    }
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
