const MINUTE_SECONDS = 60;
const SILENT_MS = 5000;
const JOINT = "\u0000";

/** A node's readings of the last minute, the oldest first. */
class Readings {
  #kept = [];

  take(at, figures) {
    const values = new Map();
    for (const [family, found] of Object.entries(figures)) {
      values.set(family, new Map(found.map(([labels, value]) => [labels.join(JOINT), { labels, value }])));
    }
    this.#kept.push({ at, values });
    while (this.#kept[0].at < at - MINUTE_SECONDS) this.#kept.shift();
  }

  get newest() {
    return this.#kept.at(-1);
  }

  get before() {
    return this.#kept.at(-2) ?? this.newest;
  }

  get oldest() {
    return this.#kept[0];
  }
}

const none = new Map();
const valueOf = (reading, family, key) => reading.values.get(family)?.get(key)?.value ?? 0;
const minus = (one, other) =>
  Array.isArray(one) ? one.map((value, i) => value - (other ? other[i] : 0)) : one - other;
const plus = (one, other) => (Array.isArray(one) ? one.map((value, i) => value + (other ? other[i] : 0)) : one + other);

/**
 * All nodes, and what they have counted, put together.
 *
 * A node's counters begin at 0 when it starts, and what is 0 is not told.
 */
export class Fleet {
  #nodes = new Map();
  families = {};

  /** Take what a node says of itself. */
  take(message) {
    const known = this.#nodes.get(message.node) ?? { readings: new Readings() };
    known.readings.take(message.at, message.figures);
    known.about = message;
    known.heard = performance.now();
    this.#nodes.set(message.node, known);
  }

  /** Forget a node that has ended. */
  drop(name) {
    this.#nodes.delete(name);
  }

  /** Forget those that have said nothing for long; give how many. */
  prune() {
    const silent = [...this.#nodes].filter(([, { heard }]) => performance.now() - heard > SILENT_MS);
    for (const [name] of silent) this.#nodes.delete(name);
    return silent.length;
  }

  /** Whether there is anything to tell a rate from. */
  get moves() {
    return [...this.#nodes.values()].some(({ readings }) => readings.before !== readings.newest);
  }

  /** What the nodes say of themselves, by host and worker. */
  get nodes() {
    const order = ({ host, worker, node }) => `${host} ${String(worker ?? "").padStart(6)} ${node}`;
    return [...this.#nodes.values()].map(({ about }) => about).sort((a, b) => order(a).localeCompare(order(b)));
  }

  /** Whether figures are counted at all: `metrics: {enabled: false}` leaves none. */
  get counts() {
    return this.nodes.some(({ figures }) => Object.keys(figures).length > 0);
  }

  /**
   * Add up a family's values.
   * @param {string} family
   * @param {(labels: string[]) => boolean} [wanted] of which labels; all of them unless given
   */
  sum(family, wanted = () => true) {
    return this.rows(family).reduce((sum, { labels, value }) => (wanted(labels) ? sum + value : sum), 0);
  }

  /** Add up how much a family's counters have grown in the last minute, as far as this page has seen it. */
  lately(family, wanted = () => true) {
    return this.rows(family).reduce((sum, { labels, minute }) => (wanted(labels) ? sum + minute : sum), 0);
  }

  /** Give the greatest of a family's values. */
  greatest(family) {
    const all = [...this.#nodes.values()].flatMap(({ readings }) => [...(readings.newest.values.get(family) ?? none).values()]);
    return Math.max(0, ...all.map(({ value }) => value));
  }

  /** Give a family's values by labels, over all nodes: `{labels, value, minute}`. */
  rows(family) {
    const rows = new Map();
    for (const { readings } of this.#nodes.values()) {
      for (const [key, { labels, value }] of readings.newest.values.get(family) ?? none) {
        const minute = minus(value, valueOf(readings.oldest, family, key));
        const row = rows.get(key);
        rows.set(key, {
          labels,
          value: row ? plus(value, row.value) : value,
          minute: row ? plus(minute, row.minute) : minute,
        });
      }
    }
    return [...rows.values()];
  }

  /** Give how fast a family's counters grow a second: of one node, or of all. */
  rate(family, wanted = () => true, node = null) {
    let rate = 0;
    for (const [name, { readings }] of this.#nodes) {
      const { newest, before } = readings;
      const passed = newest.at - before.at;
      if (passed <= 0 || (node !== null && name !== node)) continue;
      for (const [key, { labels, value }] of newest.values.get(family) ?? none) {
        if (wanted(labels)) rate += (value - valueOf(before, family, key)) / passed;
      }
    }
    return rate;
  }

  /** Give a value of one node that has no labels; 0 where there is none. */
  of(node, family) {
    const found = this.#nodes.get(node);
    return found ? valueOf(found.readings.newest, family, "") : 0;
  }
}

/**
 * Reckon from the counts of a histogram's buckets, and the sum behind them.
 * @returns {{count: number, mean: number | null, most: number | null}} `most` is the bound that 99 of 100 are under:
 *   Infinity past the last.
 */
export function reckon(values, bounds) {
  const counts = values.slice(0, bounds.length + 1);
  const all = counts.reduce((sum, value) => sum + value, 0);
  if (all === 0) return { count: 0, mean: null, most: null };
  let seen = 0;
  const at = counts.findIndex((value) => (seen += value) >= 0.99 * all);
  return { count: all, mean: values.at(-1) / all, most: bounds[at] ?? Infinity };
}
