/** The gateway's clock, as near as this page can read it. All times are in seconds since 1970. */
export class Clock {
  #offset = null;
  #roundTrip = Infinity;

  /** This page's own time. */
  static local() {
    return (performance.timeOrigin + performance.now()) / 1000;
  }

  /** Tell whether the gateway's clock was read at all. */
  get known() {
    return this.#offset !== null;
  }

  /** What to add to this page's time to get the gateway's; 0 while it is not known. */
  get offset() {
    return this.#offset ?? 0;
  }

  /** Begin anew with another connection: it may lead to another machine. */
  forget() {
    this.#roundTrip = Infinity;
  }

  /**
   * Take one reading; the one with the shortest round trip holds.
   * @param {number} sentAt this page's time when it asked
   * @param {number} gatewayTime the gateway's time when it answered
   * @param {number} receivedAt this page's time when the answer came
   */
  read(sentAt, gatewayTime, receivedAt) {
    const roundTrip = receivedAt - sentAt;
    if (!(roundTrip >= 0) || roundTrip > this.#roundTrip) return;
    this.#roundTrip = roundTrip;
    this.#offset = gatewayTime - (sentAt + roundTrip / 2);
  }

  /** The gateway's time now. */
  now() {
    return Clock.local() + this.offset;
  }
}
