import { ApiFault, post } from "./api.js";
import { byId, say } from "./dom.js";
import { many } from "./words.js";

const LABELS = { group: "Group", user: "User" };

/** The form that publishes. */
export class Publishing {
  #fleet;
  #target = byId("publish-target");
  #data = byId("publish-data");

  /** @param {import("./fleet.js").Fleet} fleet */
  constructor(fleet) {
    this.#fleet = fleet;
    for (const radio of document.querySelectorAll("input[name=publish-to]")) {
      radio.addEventListener("change", () => this.#choose());
    }
    byId("publish-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.#choose();
  }

  /** Say whether the token may publish. */
  set allowed(allowed) {
    byId("publish-send").disabled = !allowed;
    if (!allowed) this.#say("This token may not publish: it lacks the scope “publish”.");
  }

  /** Begin with what the address names. */
  start(query) {
    const group = query.get("group");
    if (group === null) return;
    document.querySelector("input[name=publish-to][value=group]").checked = true;
    this.#target.value = group;
    this.#choose();
  }

  get #to() {
    return document.querySelector("input[name=publish-to]:checked").value;
  }

  #choose() {
    const label = LABELS[this.#to];
    byId("publish-target-field").hidden = label === undefined;
    if (label) say(byId("publish-target-label"), label);
    this.#target.removeAttribute("aria-invalid");
  }

  async #send() {
    const to = this.#to;
    const target = this.#target.value.trim();
    if (to !== "everyone" && !target) {
      this.#target.setAttribute("aria-invalid", "true");
      this.#target.focus();
      this.#say(`Name the ${to} first.`, true);
      return;
    }
    this.#target.removeAttribute("aria-invalid");
    const button = byId("publish-send");
    button.disabled = true;
    try {
      const done = await post("publish", { [to]: to === "everyone" ? true : target, data: this.#data.value });
      this.#say(this.#told(done));
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      this.#say(`Not published: ${error.message}.`, true);
    } finally {
      button.disabled = false;
    }
  }

  #told({ connections, offset }) {
    const kept = offset === undefined || offset === null ? "" : ` It is number ${offset} of the group's history.`;
    if (connections === undefined || connections === null) return `Published.${kept}`;
    const where = this.#fleet.nodes.length > 1 ? " on the node that answered; the other nodes have it, too" : "";
    return `Published: it goes to ${many(connections, "connection")}${where}.${kept}`;
  }

  #say(text, bad = false) {
    const result = byId("publish-result");
    say(result, text);
    result.classList.toggle("bad", bad);
  }
}
