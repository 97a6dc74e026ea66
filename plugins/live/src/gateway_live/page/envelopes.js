/** Read a JSON object; what is none, such as another handler's text, is an empty one. */
function readObject(text) {
  try {
    return Object(typeof text === "string" ? JSON.parse(text) : null);
  } catch {
    return {};
  }
}

/**
 * What comes over a route with `envelope: json`, and the token by which the next connection gets what was missed.
 *
 * Events: `publication` with the envelope, and `missed`: whether it was published while this page was not connected;
 * `arrived` once for each connection, after what was missed, with `{recovered, connection}`, where recovered is null if
 * there was no token to come with; `gap` when some publications may be missing, of a `group` or, without one, of any
 * that keeps no history; `answer` with what the handler says to this page alone.
 */
export class Envelopes extends EventTarget {
  #token;
  #recovered = null;
  #arrived = false;

  /** @param {string} token the position that the page was rendered at; empty if there is none */
  constructor(token) {
    super();
    this.#token = token;
  }

  /** Give the URL to connect to from here on. */
  urlOf(url) {
    const made = new URL(url);
    if (this.#token) made.searchParams.set("resume", this.#token);
    return made.href;
  }

  /** @param {import("./channel.js").Channel} channel */
  hear(channel) {
    channel.addEventListener("state", ({ detail }) => {
      if (detail.state !== "connecting") return;
      this.#recovered = null;
      this.#arrived = false;
    });
    channel.addEventListener("message", ({ detail }) => this.#take(readObject(detail.data)));
  }

  #take(envelope) {
    if ("recovered" in envelope) this.#recovered = envelope.recovered;
    else if (envelope.gap) this.#tell("gap", envelope);
    else if ("group" in envelope) this.#tell("publication", { ...envelope, missed: !this.#arrived });
    else this.#takeAnswer(readObject(envelope.data));
    // Last, so that an envelope that could not be taken comes again.
    if (envelope.resume) this.#token = envelope.resume;
  }

  #takeAnswer(answer) {
    if (answer.type !== "open") {
      this.#tell("answer", answer);
      return;
    }
    // The gateway puts what was missed before anything that the open event sends.
    this.#arrived = true;
    this.#tell("arrived", { recovered: this.#recovered, connection: answer.connection });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
