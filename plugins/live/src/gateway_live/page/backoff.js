/** Full jitter backoff: each pause is drawn evenly between nothing and a ceiling that doubles with every attempt. */
export class Backoff {
  #attempts = 0;
  #base;
  #cap;
  #random;

  /**
   * @param {{baseSeconds?: number, capSeconds?: number, random?: () => number}} [options]
   *   The first ceiling (default 0.5 s), the highest (default 15 s), and the source of chance in [0, 1).
   */
  constructor({ baseSeconds = 0.5, capSeconds = 15, random = Math.random } = {}) {
    this.#base = baseSeconds;
    this.#cap = capSeconds;
    this.#random = random;
  }

  /** How many pauses were drawn since the last reset. */
  get attempts() {
    return this.#attempts;
  }

  /** Draw the next pause, in seconds. */
  next() {
    const ceiling = Math.min(this.#cap, this.#base * 2 ** this.#attempts);
    this.#attempts += 1;
    return this.#random() * ceiling;
  }

  /** Begin again at the first ceiling. */
  reset() {
    this.#attempts = 0;
  }
}
