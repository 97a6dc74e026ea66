import { byId } from "./dom.js";

/**
 * The views of the page, one at a time, by the fragment of the address: `#connections?group=news`.
 *
 * Event: `view` with detail `{name, query}`, query a URLSearchParams.
 */
export class Views extends EventTarget {
  #links = [...document.querySelectorAll(".views a")];
  #name = "";

  /** The name of the view that is shown. */
  get name() {
    return this.#name;
  }

  /** Show what the address says, now and whenever it changes. */
  start() {
    addEventListener("hashchange", () => this.#show(true));
    this.#show(false);
  }

  #show(moved) {
    const [given, query = ""] = location.hash.slice(1).split("?", 2);
    const link = this.#links.find(({ hash }) => hash === `#${given}`) ?? this.#links[0];
    const name = link.hash.slice(1);
    for (const each of this.#links) {
      byId(`view-${each.hash.slice(1)}`).hidden = each !== link;
      if (each === link) each.setAttribute("aria-current", "page");
      else each.removeAttribute("aria-current");
    }
    document.title = `${link.textContent} · Gateway`;
    if (moved && name !== this.#name) {
      scrollTo(0, 0);
      // Whoever does not see the change hears the heading of what has come.
      byId(`${name}-title`).focus({ preventScroll: true });
    }
    this.#name = name;
    this.dispatchEvent(new CustomEvent("view", { detail: { name, query: new URLSearchParams(query) } }));
  }
}
