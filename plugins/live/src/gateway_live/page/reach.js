import { byId, make, prepend } from "./dom.js";
import { timeOfDay } from "./words.js";

const CONSUMER = /^[A-Za-z0-9._-]{1,64}$/;
const STORED = "gateway-live-consumer";
const RECEIVED_KEPT = 50;
const TOAST_MS = 6000;
const TOASTS_KEPT = 3;

/** This tab's consumer id: kept for the life of the tab, so that each tab has its own. */
export function storedConsumer() {
  const kept = sessionStorage.getItem(STORED);
  if (kept && CONSUMER.test(kept)) return kept;
  const drawn = crypto.getRandomValues(new Uint32Array(1))[0].toString(36).padStart(4, "0").slice(-4);
  const consumer = `tab-${drawn}`;
  sessionStorage.setItem(STORED, consumer);
  return consumer;
}

function received({ from, to, text }) {
  const item = make("li");
  const head = make("p", "received-head");
  head.append(
    make("strong", "", from ?? "someone"),
    make("span", "badge", to === "everyone" ? "to all" : "to this page alone"),
    make("time", "", timeOfDay().slice(0, 8)),
  );
  item.append(head, make("p", "received-text", text));
  return item;
}

function toast({ from, to, text }) {
  const toasts = byId("toasts");
  const item = make("div", "toast");
  item.append(make("strong", "", `${from ?? "someone"} ${to === "everyone" ? "to all" : "to this page"}`), make("p", "", text));
  prepend(toasts, item, TOASTS_KEPT);
  setTimeout(() => item.remove(), TOAST_MS);
}

function wireConsumer(conversation) {
  const field = byId("consumer-id");
  const note = byId("consumer-note");
  field.value = conversation.consumer;
  field.addEventListener("change", () => {
    const consumer = field.value.trim();
    if (!CONSUMER.test(consumer) || consumer === "everyone") {
      field.setAttribute("aria-invalid", "true");
      note.textContent = "Letters, digits, dot, dash and underscore, 1 to 64 of them, and not “everyone”.";
      return;
    }
    field.removeAttribute("aria-invalid");
    sessionStorage.setItem(STORED, consumer);
    if (!conversation.hello(consumer)) note.textContent = "Taken up when the connection is back.";
  });
  conversation.addEventListener("hello", ({ detail }) => {
    note.textContent = `A push to “${detail.consumer}” reaches this tab alone.`;
  });
}

function wireForm(conversation) {
  const result = byId("push-result");
  const [text, target, one, all] = ["push-text", "push-target", "push-one", "push-all"].map(byId);
  const say = (words, bad = false) => {
    result.textContent = words;
    result.classList.toggle("bad", bad);
  };
  const push = (to) => {
    if (!text.value) {
      say("Write a text first.", true);
      text.focus();
    } else if (!conversation.push(to, text.value)) {
      say("There is no open connection.", true);
    }
  };
  all.addEventListener("click", () => push("everyone"));
  one.addEventListener("click", () => {
    const to = target.value.trim();
    target.toggleAttribute("aria-invalid", !CONSUMER.test(to));
    if (CONSUMER.test(to)) {
      push(to);
    } else {
      say("Name the consumer to reach.", true);
      target.focus();
    }
  });
  for (const [field, button] of [[text, all], [target, one]]) {
    field.addEventListener("keydown", (event) => event.key === "Enter" && button.click());
  }
  conversation.addEventListener("snapshot", ({ detail }) => {
    one.disabled = all.disabled = !detail.allow_push;
    if (!detail.allow_push) say("This gateway does not let pages push (allow_push is off).");
  });
  conversation.addEventListener("pushed", ({ detail: { to, receivers } }) => {
    if (to !== "everyone" && receivers === 0) say(`No page here has the consumer id “${to}”.`, true);
    else say(`Reached ${receivers} ${receivers === 1 ? "connection" : "connections"}.`);
  });
  conversation.addEventListener("error", ({ detail }) => say(`The gateway answered: ${detail.error}.`, true));
}

/** Wire up pushing to all and to one, and what this page receives of it. */
export function wireReach(conversation) {
  wireConsumer(conversation);
  wireForm(conversation);
  conversation.addEventListener("push", ({ detail }) => {
    prepend(byId("received"), received(detail), RECEIVED_KEPT);
    // Whoever pushed looks at the form, and is told its result there.
    if (detail.from !== conversation.consumer) toast(detail);
  });
}
