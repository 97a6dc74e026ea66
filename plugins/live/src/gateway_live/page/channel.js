import { Backoff } from "./backoff.js";
import { mayReconnect } from "./close-codes.js";

const OPENING_TIMEOUT_SECONDS = 10;
// A connection that is refused right after it opened must not reset the backoff, or clients of a gateway
// in trouble would return at the first ceiling for ever.
const STEADY_SECONDS = 5;

/**
 * The page's own connection: it comes back by itself, with full jitter, until `stop` or until it is told to stay away.
 *
 * Events: `state` with detail `{state, code, reason, wasClean, delaySeconds, why}`, where state is one of
 * `connecting`, `open`, `waiting` (a pause of `delaySeconds` before the next try), `stopped` (by this side) and
 * `refused` (closed with a code that forbids coming back); `message` with detail `{data}`; `sent` with detail
 * `{data, value}`.
 */
export class Channel extends EventTarget {
  #url;
  #backoff;
  #socket = null;
  #state = "stopped";
  #timers = new Map();
  #silenceSeconds = Infinity;

  /**
   * @param {string | () => string} url where to connect; a function is asked anew for each connection
   * @param {Backoff} [backoff]
   */
  constructor(url, backoff = new Backoff()) {
    super();
    this.#url = url;
    this.#backoff = backoff;
  }

  get state() {
    return this.#state;
  }

  /** The browser's socket of this moment, or null. */
  get socket() {
    return this.#socket;
  }

  /** Take a connection for dead when nothing arrives for so long: a browser cannot tell by itself. */
  set silenceSeconds(seconds) {
    this.#silenceSeconds = seconds;
    this.#watchSilence();
  }

  /** Open the connection now, whatever pause is under way. Does nothing while one is open or opening. */
  start() {
    if (this.#state === "open" || this.#state === "connecting") return;
    if (this.#state !== "waiting") this.#backoff.reset();
    this.#connect();
  }

  /** Open the connection in so many seconds, and close it now if it is open; `why` tells what the pause is for. */
  startIn(delaySeconds, why) {
    const socket = this.#socket;
    this.#forget();
    this.#backoff.reset();
    this.#enter("waiting", { delaySeconds, why });
    this.#after("retry", delaySeconds, () => this.#connect());
    socket?.close(1000, why);
  }

  /** Close the connection for good, until `start`. */
  stop(code = 1000, reason = "stopped by the user") {
    const socket = this.#socket;
    this.#forget();
    this.#enter("stopped", { code, reason });
    socket?.close(code, reason);
  }

  /**
   * Send a value as JSON.
   * @returns {boolean} false when there is no open connection.
   */
  sendJson(value) {
    if (this.#state !== "open") return false;
    const data = JSON.stringify(value);
    this.#socket.send(data);
    this.dispatchEvent(new CustomEvent("sent", { detail: { data, value } }));
    return true;
  }

  #connect() {
    this.#forget();
    this.#enter("connecting");
    const socket = new WebSocket(typeof this.#url === "function" ? this.#url() : this.#url);
    this.#socket = socket;
    this.#after("opening", OPENING_TIMEOUT_SECONDS, () => this.#lose("the opening handshake took too long"));
    const listen = (name, act) =>
      socket.addEventListener(name, (event) => {
        if (socket === this.#socket) act(event);
      });
    listen("open", () => {
      this.#clear("opening");
      this.#after("steady", STEADY_SECONDS, () => this.#backoff.reset());
      this.#enter("open");
      this.#watchSilence();
    });
    listen("message", ({ data }) => {
      this.#watchSilence();
      this.dispatchEvent(new CustomEvent("message", { detail: { data } }));
    });
    listen("close", ({ code, reason, wasClean }) => this.#closed({ code, reason, wasClean }));
  }

  /** Let go of a socket that does not answer: its close event may be many seconds away. */
  #lose(reason) {
    const socket = this.#socket;
    this.#closed({ code: 1006, reason, wasClean: false });
    socket?.close();
  }

  #closed(detail) {
    this.#forget();
    if (!mayReconnect(detail.code)) {
      this.#enter("refused", detail);
      return;
    }
    const delaySeconds = this.#backoff.next();
    this.#enter("waiting", { ...detail, delaySeconds });
    this.#after("retry", delaySeconds, () => this.#connect());
  }

  #forget() {
    for (const name of [...this.#timers.keys()]) this.#clear(name);
    this.#socket = null;
  }

  #watchSilence() {
    if (this.#state !== "open" || !Number.isFinite(this.#silenceSeconds)) return;
    const seconds = this.#silenceSeconds;
    this.#after("silence", seconds, () => this.#lose(`nothing came for ${seconds} s`));
  }

  #enter(state, detail = {}) {
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { ...detail, state } }));
  }

  #after(name, seconds, act) {
    this.#clear(name);
    this.#timers.set(name, setTimeout(act, seconds * 1000));
  }

  #clear(name) {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
