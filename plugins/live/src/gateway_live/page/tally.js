const ARRIVALS_KEPT = 30;

function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** What one way of getting the figures has cost so far, and the samples that it brought. */
export class Tally {
  requests = 0;
  messages = 0;
  vain = 0;
  bytes = 0;
  points = 0;
  /** The samples within the window, oldest first. */
  samples = [];
  #windowSeconds = 60;
  #arrivals = [];

  /** How many seconds of samples to keep. */
  set windowSeconds(seconds) {
    this.#windowSeconds = seconds;
  }

  /** The newest sample, or null. */
  get newest() {
    return this.samples.at(-1) ?? null;
  }

  /**
   * The median of the last delays in seconds, from the moment a sample was taken until it was here; or null.
   * @param {import("./clock.js").Clock} clock as it is known by now: its later readings are the better ones
   */
  delay(clock) {
    const ahead = clock.known ? median(this.#arrivals) : null;
    return ahead === null ? null : Math.max(0, ahead + clock.offset);
  }

  /** The bytes that one sample cost so far, or null before the first. */
  get bytesEach() {
    return this.points ? this.bytes / this.points : null;
  }

  /**
   * Take in one sample.
   * @returns {boolean} false for a sample that is here already.
   */
  add(sample) {
    const ahead = this.newest ? sample.time - this.newest.time : Infinity;
    if (ahead <= 0 && ahead > -this.#windowSeconds) return false;
    if (ahead <= 0) this.samples = []; // The gateway's clock was set back.
    this.points += 1;
    this.samples.push(sample);
    // One more than the window shows, so that a line leads in at its left edge.
    while (this.samples.length > 1 && this.samples[1].time < sample.time - this.#windowSeconds) this.samples.shift();
    return true;
  }

  /** Take in that a sample arrived just now, by this page's clock. */
  addArrival(sample, receivedAt) {
    this.#arrivals.push(receivedAt - sample.time);
    if (this.#arrivals.length > ARRIVALS_KEPT) this.#arrivals.shift();
  }

  /** Drop the arrivals: they were of another interval. */
  forgetArrivals() {
    this.#arrivals = [];
  }
}
