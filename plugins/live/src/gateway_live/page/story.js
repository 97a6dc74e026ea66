import { describeCode } from "./close-codes.js";
import { make, prepend } from "./dom.js";
import { timeOfDay } from "./words.js";

const MOST_SHOWN = 50;

/** When the server's answer began to come: the page was rendered just before. */
const renderedAt = () => performance.getEntriesByType("navigation")[0]?.responseStart ?? 0;

/** What happened to this page since it was rendered, told in sentences, the newest first. */
export class Story {
  #list;
  #away = renderedAt();
  #connected = false;
  #isFirst = true;

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /** Whether the page has not been connected yet. */
  get isFirst() {
    return this.#isFirst;
  }

  /** For how long the page has not been connected, in seconds, or was not before it came back. */
  get secondsAway() {
    return (performance.now() - this.#away) / 1000;
  }

  /**
   * The connection is open, and what was missed has come.
   * @param {{recovered: boolean | null, missed: number, inOrder: boolean, keepsHistory: boolean}} outcome
   */
  arrive({ recovered, missed, inOrder, keepsHistory }) {
    const first = this.#isFirst;
    const between = first ? "between rendering and connecting" : "while the link was away";
    const after = this.secondsAway.toFixed(1);
    const opening = first ? `Connected ${after} s after the rendering.` : `Back after ${after} s.`;
    this.#connected = true;
    this.#isFirst = false;
    if (recovered) {
      const way = first ? "replayed" : "recovered";
      const order = inOrder ? "in order" : "with a hole";
      const told = missed === 0 ? "nothing" : `${missed}, ${way} ${order}`;
      this.#add(way, `${opening} Published ${between}: ${told}.`, missed, inOrder);
    } else {
      const why = recovered === false ? "Not recovered" : "There was no position to go on from";
      const advice = keepsHistory ? "is not shown here. Load again to see it." : "is lost.";
      this.#add("lost", `${opening} ${why}: what was published ${between} ${advice}`);
    }
  }

  /** The connection is gone. */
  leave({ code, reason, why, state }) {
    if (!this.#connected) return;
    this.#connected = false;
    this.#away = performance.now();
    const told = reason ? `${describeCode(code)}: ${reason}` : describeCode(code);
    const end = why ?? (state === "stopped" ? "Link stopped by this page" : `Link closed with ${told}`);
    this.#add("left", `${end}.`);
  }

  /** The gateway has told that something may be missing. */
  gap() {
    this.#add("lost", "The gateway told of a gap: notes may be missing here. Load again to see them.");
  }

  #add(kind, text, value = "", inOrder = true) {
    const item = make("li");
    item.dataset.kind = kind;
    item.dataset.value = value;
    item.dataset.inOrder = inOrder;
    item.append(make("time", "", timeOfDay().slice(0, 8)), " ", make("span", "", text));
    prepend(this.#list, item, MOST_SHOWN);
  }
}
