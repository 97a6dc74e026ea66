const SUBPROTOCOL = "gateway.live";
const SESSION_ENDED = 4401;
const SILENCE_MS = 8000;
const STEADY_MS = 5000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;

/**
 * The connection over which figures are pushed. It comes back by itself, with full jitter.
 *
 * Events: `state` with detail `{state, pause}`, where state is one of `connecting`, `open`, `waiting` (for `pause`
 * seconds) and `ended` (log in again); `message` with the value as detail.
 */
export class Channel extends EventTarget {
  #url;
  #socket = null;
  #tries = 0;
  #timers = new Map();

  /** @param {string} url */
  constructor(url) {
    super();
    this.#url = url;
  }

  /** Connect now, whatever pause is under way. */
  start() {
    this.#forget();
    this.#enter("connecting");
    const socket = new WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    const listen = (name, act) =>
      socket.addEventListener(name, (event) => {
        if (socket === this.#socket) act(event);
      });
    this.#watch();
    listen("open", () => {
      this.#after("steady", STEADY_MS, () => (this.#tries = 0));
      this.#enter("open");
    });
    listen("message", ({ data }) => {
      this.#watch();
      this.dispatchEvent(new CustomEvent("message", { detail: JSON.parse(data) }));
    });
    listen("close", ({ code }) => this.#lost(code));
  }

  #lost(code) {
    this.#forget();
    if (code === SESSION_ENDED) {
      this.#enter("ended");
      return;
    }
    const pause = Math.random() * Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#tries);
    this.#tries += 1;
    this.#enter("waiting", pause / 1000);
    this.#after("retry", pause, () => this.start());
  }

  /** A browser cannot tell by itself that nothing comes any more. */
  #watch() {
    const socket = this.#socket;
    this.#after("silence", SILENCE_MS, () => {
      this.#lost(1006);
      socket.close();
    });
  }

  #forget() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#socket = null;
  }

  #enter(state, pause = 0) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, pause } }));
  }

  #after(name, milliseconds, act) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(act, milliseconds));
  }
}
