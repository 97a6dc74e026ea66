import { make } from "./dom.js";

const BREAK_AFTER_INTERVALS = 2.5;
const NARROW_PX = 420;

/** One chart of the last samples on uPlot; its right edge is now, so that what is late shows as a gap there. */
export class Chart {
  #host;
  #legend;
  #name;
  #figure = null;
  #plot = null;
  #samples = [];
  #windowSeconds = 60;
  #top = 100;

  /**
   * @param {HTMLElement} host
   * @param {HTMLElement} legend
   * @param {string} name what the chart is called for those who do not see it
   */
  constructor(host, legend, name) {
    this.#host = host;
    this.#legend = legend;
    this.#name = name;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    // The canvas takes its colours when it is built.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#build());
  }

  /** Show another figure. */
  set figure(figure) {
    this.#figure = figure;
    this.#build();
  }

  /**
   * Draw the samples as they stand now.
   * @param {object[]} samples oldest first
   * @param {{now: number, windowSeconds: number, intervalSeconds: number, top: number}} view
   */
  draw(samples, { now, windowSeconds, intervalSeconds, top }) {
    if (!this.#plot) return;
    this.#samples = [];
    const xs = [];
    const columns = this.#figure.lines.map(() => []);
    let before = null;
    for (const sample of samples) {
      if (before !== null && sample.time - before > intervalSeconds * BREAK_AFTER_INTERVALS) {
        xs.push((before + sample.time) / 2 - now);
        for (const column of columns) column.push(null);
        this.#samples.push(null);
      }
      xs.push(sample.time - now);
      this.#figure.lines.forEach(({ key }, i) => columns[i].push(sample[key]));
      this.#samples.push(sample);
      before = sample.time;
    }
    this.#windowSeconds = windowSeconds;
    this.#top = top;
    this.#plot.setData([xs, ...columns]);
    this.#describe();
  }

  #build() {
    this.#plot?.destroy();
    const style = getComputedStyle(this.#host);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--muted"),
      font: `12px ${style.fontFamily}`,
      grid: { stroke: colour("--grid"), width: 1 },
      ticks: { show: false },
    };
    const strokes = [colour("--accent"), colour("--second")];
    this.#plot = new globalThis.uPlot(
      {
        ...this.#size(),
        legend: { show: false },
        padding: [12, 14, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, sync: { key: "live" }, points: { size: 7 } },
        hooks: { setCursor: [() => this.#describe()] },
        scales: {
          x: { time: false, range: () => [-this.#windowSeconds, 0] },
          y: { range: () => [0, this.#top] },
        },
        axes: [
          {
            ...axis,
            size: 30,
            splits: () => this.#ticks(),
            values: (_, splits) => splits.map((value) => (value === 0 ? "now" : `${value} s`.replace("-", "−"))),
          },
          { ...axis, size: 52, values: (_, splits) => splits.map(this.#figure.tick) },
        ],
        series: [
          {},
          ...this.#figure.lines.map(({ label }, i) => ({
            label,
            stroke: strokes[i],
            fill: i === 0 ? colour("--fill") : undefined,
            width: i === 0 ? 2 : 1.5,
            dash: i === 0 ? undefined : [5, 4],
            points: { show: i === 0, size: 4.5, fill: strokes[i], stroke: strokes[i] },
          })),
        ],
      },
      [[], ...this.#figure.lines.map(() => [])],
      this.#host,
    );
    this.#legend.replaceChildren(
      ...this.#figure.lines.map(({ label }, i) => {
        const entry = make("span", `legend-entry line-${i}`);
        entry.append(make("span", "swatch"), make("span", "legend-name", label), make("span", "legend-value", "–"));
        return entry;
      }),
    );
  }

  #ticks() {
    const parts = this.#host.clientWidth < NARROW_PX ? 3 : 4;
    return Array.from({ length: parts + 1 }, (_, i) => -this.#windowSeconds + (i * this.#windowSeconds) / parts);
  }

  #size() {
    return { width: Math.max(160, this.#host.clientWidth), height: Math.max(120, this.#host.clientHeight) };
  }

  /** Tell in words what stands under the cursor, or else the newest sample. */
  #describe() {
    const index = this.#plot?.cursor.idx;
    const sample = (index !== null && index !== undefined && this.#samples[index]) || this.#samples.at(-1);
    if (!sample) return;
    const values = this.#legend.querySelectorAll(".legend-value");
    this.#figure.lines.forEach(({ text }, i) => {
      const words = text(sample);
      if (values[i] && values[i].textContent !== words) values[i].textContent = words;
    });
    const told = this.#figure.lines.map(({ label, text }) => `${label} ${text(sample)}`).join(", ");
    this.#host.setAttribute("aria-label", `${this.#name}: ${told}`);
  }
}
