import { make, prepend } from "./dom.js";
import { timeOfDay } from "./words.js";

const MOST_SHOWN = 200;
const LONGEST_SHOWN = 2000;

/** Read what is in an envelope; what is no note is shown as it is. */
function readNote({ data, data_base64: binary }) {
  if (binary !== undefined) return { text: `(binary, ${atob(binary).length} bytes)` };
  try {
    const { type, text, from, at } = JSON.parse(data);
    if (type === "note" && typeof text === "string") return { text, from, at };
  } catch {
    // Whoever may call the HTTP API may publish anything to the group.
  }
  return { text: data };
}

/** The notes of the page, the newest first: each is shown once, whichever way it came. */
export class NoteList {
  #list;
  #epoch;
  #last;

  /**
   * @param {HTMLElement} list with what the server rendered
   * @param {{epoch: string, offset: string}} position of the newest that was rendered; empty if that is not known
   */
  constructor(list, { epoch, offset }) {
    this.#list = list;
    this.#epoch = epoch;
    this.#last = offset === "" ? null : Number(offset);
  }

  /**
   * Add what was published.
   * @param {string} how `replayed`, `live` or `recovered`
   * @returns {{isNew: boolean, follows: boolean}} whether it was not here before, and whether nothing is missing
   *   between it and the one before.
   */
  add(envelope, how) {
    const { epoch, offset, previous } = envelope;
    const known = offset !== undefined && epoch === this.#epoch && this.#last !== null;
    // What was published while the page was being rendered is in both: in the list, and after the position.
    if (known && offset <= this.#last) return { isNew: false, follows: true };
    const follows = !known || previous <= this.#last;
    if (offset !== undefined) [this.#epoch, this.#last] = [epoch, offset];
    prepend(this.#list, this.#item(envelope, how), MOST_SHOWN);
    return { isNew: true, follows };
  }

  /** Know no longer what came before: something may be missing, and has been told. */
  breakOff() {
    this.#last = null;
  }

  #item(envelope, how) {
    const { text, from, at } = readNote(envelope);
    const item = make("li");
    item.dataset.how = how;
    item.dataset.offset = envelope.offset ?? "";
    const head = make("p", "received-head");
    head.append(make("strong", "", from ?? "someone"), make("span", "badge", how));
    if (envelope.offset !== undefined) head.append(make("span", "place", `#${envelope.offset}`));
    if (typeof at === "number") head.append(make("time", "", timeOfDay(new Date(at * 1000)).slice(0, 8)));
    const shown = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
    item.append(head, make("p", "received-text", shown));
    return item;
  }
}
