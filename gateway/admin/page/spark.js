const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 32;
const KEPT = 60;

/** A small chart of the last minute: a line, and the ground under it. */
export class Spark {
  #values = [];
  #line = document.createElementNS(SVG, "polyline");
  #fill = document.createElementNS(SVG, "polygon");

  constructor() {
    this.element = document.createElementNS(SVG, "svg");
    this.element.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.element.setAttribute("preserveAspectRatio", "none");
    this.element.setAttribute("class", "spark");
    this.element.setAttribute("aria-hidden", "true");
    this.#line.setAttribute("vector-effect", "non-scaling-stroke");
    this.element.append(this.#fill, this.#line);
  }

  /** Add the value of this second. */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > KEPT) this.#values.shift();
    const top = Math.max(...this.#values);
    const step = WIDTH / (KEPT - 1);
    const from = KEPT - this.#values.length;
    const points = this.#values.map((each, i) => {
      const y = HEIGHT - 1.5 - (top > 0 ? (each / top) * (HEIGHT - 3.5) : 0);
      return `${((from + i) * step).toFixed(1)},${y.toFixed(1)}`;
    });
    this.#line.setAttribute("points", points.join(" "));
    this.#fill.setAttribute("points", `${(from * step).toFixed(1)},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`);
  }
}
