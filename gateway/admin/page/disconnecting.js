import { ApiFault, post } from "./api.js";
import { byId, say, toast } from "./dom.js";
import { many } from "./words.js";

/**
 * The dialog that ends connections, after a word with whoever asks for it.
 *
 * Event: `done`, when connections have been disconnected.
 */
export class Disconnecting extends EventTarget {
  #fleet;
  #asked = null;
  #allowed = true;

  /** @param {import("./fleet.js").Fleet} fleet */
  constructor(fleet) {
    super();
    this.#fleet = fleet;
    byId("disconnect-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#go();
    });
  }

  /** Say whether the token may disconnect. */
  set allowed(allowed) {
    this.#allowed = allowed;
    for (const button of document.querySelectorAll("[data-disconnects]")) this.guard(button);
  }

  /** Have a button that leads here be off for who may not disconnect. */
  guard(button) {
    button.dataset.disconnects = "";
    button.disabled = !this.#allowed;
    button.title = this.#allowed ? "" : "This token may not: it lacks the scope “disconnect”.";
  }

  /**
   * Ask whether, and with which code.
   * @param {{title: string, what: string, target: object, user?: string | null}} asked `target` as the API takes it;
   *   with a user, all of theirs may be chosen instead
   */
  ask(asked) {
    this.#asked = asked;
    byId("disconnect-form").reset();
    say(byId("disconnect-title"), asked.title);
    say(byId("disconnect-what"), asked.what);
    say(byId("disconnect-user"), `All connections of ${asked.user}`);
    byId("disconnect-scope").hidden = !asked.user;
    this.#fault("");
    byId("disconnect").showModal();
    byId("disconnect-title").focus();
  }

  async #go() {
    const { target, user } = this.#asked;
    const all = user && document.querySelector("input[name=disconnect-scope]:checked").value === "user";
    const button = byId("disconnect-go");
    button.disabled = true;
    try {
      const { connections } = await post("disconnect", {
        ...(all ? { user } : target),
        code: Number(byId("disconnect-code").value),
        reason: byId("disconnect-reason").value,
      });
      byId("disconnect").close();
      toast(this.#told(connections, "connection" in target && !all));
      this.dispatchEvent(new Event("done"));
    } catch (error) {
      if (!(error instanceof ApiFault)) throw error;
      this.#fault(`Not done: ${error.message}.`);
    } finally {
      button.disabled = false;
    }
  }

  /** The answer counts those of the node that has answered. */
  #told(connections, one) {
    if (one) return "The connection is told to go.";
    if (this.#fleet.nodes.length <= 1) return `${many(connections, "connection")} told to go.`;
    return `${many(connections, "connection")} on one node told to go, and the other nodes have the order.`;
  }

  #fault(text) {
    say(byId("disconnect-fault"), text);
  }
}
