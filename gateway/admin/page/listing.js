import { ApiFault, get } from "./api.js";
import { byId, say } from "./dom.js";
import { many } from "./words.js";

const PAGE = 50;
const MOST = 1000;
const TYPING_MS = 250;
const REFRESH_MS = 3000;

/**
 * A list that the API gives, searched and shown by parts, and asked for again while it is looked at.
 *
 * The ids of its elements begin with its name: `groups-count`, `groups-fault`, `groups-more`.
 */
export class Listing {
  #name;
  #table;
  #query;
  #words;
  #limit = PAGE;
  #asked = 0;
  #timer = null;

  /**
   * @param {string} name of the list in the API
   * @param {import("./table.js").Table} table
   * @param {() => Record<string, string>} query what is searched for
   * @param {(answer: object, shown: number) => string} words how many there are
   */
  constructor(name, table, query, words) {
    this.#name = name;
    this.#table = table;
    this.#query = query;
    this.#words = words;
    byId(`${name}-more`).addEventListener("click", () => {
      this.#limit = Math.min(MOST, this.#limit * 2);
      this.refresh();
    });
    document.addEventListener("visibilitychange", () => this.#timer && !document.hidden && this.refresh());
  }

  /** Ask again whenever one of these fields changes. */
  hear(...fields) {
    for (const field of fields) {
      let typing = null;
      field.addEventListener("input", () => {
        clearTimeout(typing);
        typing = setTimeout(() => this.search(), TYPING_MS);
      });
    }
  }

  /** Ask from the beginning of the list. */
  search() {
    this.#limit = PAGE;
    return this.refresh();
  }

  /** Ask now and from time to time, until `stop`. */
  start() {
    this.stop();
    this.#timer = setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
    return this.search();
  }

  /** Ask no more. */
  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#asked += 1;
  }

  /** Ask for what is shown. */
  async refresh() {
    const asked = (this.#asked += 1);
    const fault = byId(`${this.#name}-fault`);
    try {
      const query = this.#query();
      const answer = await get(this.#name, { ...query, limit: this.#limit });
      if (asked !== this.#asked) return; // another question is newer
      const rows = answer[this.#name];
      this.#table.empty = Object.values(query).some(Boolean) ? "Nothing fits this search." : "There is none yet.";
      this.#table.show(rows);
      say(byId(`${this.#name}-count`), this.#words(answer, rows.length));
      byId(`${this.#name}-more`).hidden = answer.next === null || this.#limit >= MOST;
      say(fault, answer.complete ? "" : incomplete(answer.silent));
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      if (asked === this.#asked) say(fault, `Not up to date: ${error.message}.`);
    }
  }
}

function incomplete(silent) {
  return silent.length > 0
    ? `${many(silent.length, "node")} did not answer, and what they have is left out: ${silent.join(", ")}.`
    : "There is no link to the broker: this is what one node has.";
}
