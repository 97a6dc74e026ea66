import { keepEndInView, make } from "./dom.js";
import { timeOfDay } from "./words.js";

/** A bounded log of events, the newest at its end. */
export class EventLog {
  #list;
  #limit;

  /**
   * @param {HTMLElement} list
   * @param {number} [limit] how many entries to keep, default 200
   */
  constructor(list, limit = 200) {
    this.#list = list;
    this.#limit = limit;
  }

  /**
   * Add one entry.
   * @param {string} name the event's name, such as `open` or `close`
   * @param {string} text what there is to tell about it
   */
  add(name, text) {
    const item = make("li", `event-${name}`);
    item.dataset.event = name;
    item.append(make("time", "", timeOfDay()), make("span", "event-name", name), make("span", "event-text", text));
    keepEndInView(this.#list, () => {
      this.#list.append(item);
      while (this.#list.children.length > this.#limit) this.#list.firstElementChild.remove();
    });
  }

  /** Drop every entry. */
  clear() {
    this.#list.replaceChildren();
  }
}
