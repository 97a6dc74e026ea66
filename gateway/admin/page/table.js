import { make } from "./dom.js";

/**
 * A table whose rows are kept by their keys: what does not change keeps its place and its focus.
 *
 * On a phone each row is a block of names and values, by the style sheet.
 */
export class Table {
  #rows = new Map();
  #columns;
  #key;
  #body = make("tbody");
  #table;
  #empty;

  /**
   * @param {HTMLElement} host
   * @param {object} options
   * @param {string} options.name for those who do not see it
   * @param {{label: string, className?: string, text?: (row: object) => string, build?: (row: object) => Node}[]}
   *   options.columns `text` is written anew each time; what `build` makes is made once for a key
   * @param {(row: object) => string} options.key
   * @param {string} options.empty what stands there without a row
   */
  constructor(host, { name, columns, key, empty }) {
    this.#columns = columns;
    this.#key = key;
    // The roles again: a table that is displayed as blocks loses them.
    const head = make("tr", "", ...columns.map(({ label, className = "" }) => role(make("th", className, label), "columnheader")));
    head.querySelectorAll("th").forEach((cell) => cell.setAttribute("scope", "col"));
    const top = role(make("thead", "", role(head, "row")), "rowgroup");
    this.#table = role(make("table", "", make("caption", "unseen", name), top, role(this.#body, "rowgroup")), "table");
    this.#empty = make("p", "empty", empty);
    host.replaceChildren(this.#table, this.#empty);
    this.#table.hidden = true;
  }

  /** Show these rows, in this order. */
  show(rows) {
    const shown = new Set();
    let after = null;
    for (const row of rows) {
      const key = this.#key(row);
      shown.add(key);
      const kept = this.#rows.get(key) ?? this.#build(key, row);
      kept.row = row;
      kept.refresh();
      const next = after ? after.nextElementSibling : this.#body.firstElementChild;
      if (next !== kept.element) this.#body.insertBefore(kept.element, next);
      after = kept.element;
    }
    for (const [key, { element }] of this.#rows) {
      if (shown.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    this.#table.hidden = rows.length === 0;
    this.#empty.hidden = rows.length > 0;
  }

  /** Say something else where there is no row. */
  set empty(text) {
    if (this.#empty.textContent !== text) this.#empty.textContent = text;
  }

  #build(key, row) {
    const element = role(make("tr"), "row");
    const kept = { element, row, refresh: () => {} };
    const writers = this.#columns.map(({ label, className = "", text, build }) => {
      const cell = role(make("td", className), "cell");
      cell.dataset.label = label;
      element.append(cell);
      if (build) cell.append(build(() => kept.row));
      return () => {
        if (!text) return;
        const written = text(kept.row);
        if (cell.textContent !== written) cell.textContent = written;
      };
    });
    kept.refresh = () => writers.forEach((write) => write());
    this.#rows.set(key, kept);
    return kept;
  }
}

function role(element, name) {
  element.setAttribute("role", name);
  return element;
}
