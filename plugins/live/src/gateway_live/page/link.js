import { describeCode } from "./close-codes.js";
import { byId } from "./dom.js";
import { seconds } from "./words.js";

const COUNTDOWN_MS = 100;

/** Show the state of the page's own connection, the countdown to its next try, and the button that stops or starts it. */
export function showLink(channel) {
  const pill = byId("link-state");
  const text = byId("link-text");
  const countdown = byId("link-countdown");
  const button = byId("link-button");
  let ticking = null;

  const words = ({ state, code, reason, why: pause }) => {
    const why = reason ? `${describeCode(code)}: ${reason}` : describeCode(code);
    return {
      connecting: () => "Connecting",
      open: () => "Connected",
      waiting: () => pause ?? `Closed with ${why}`,
      stopped: () => "Stopped",
      refused: () => `Closed for good with ${why}`,
    }[state]();
  };

  const count = (delaySeconds, words) => {
    const due = performance.now() + delaySeconds * 1000;
    const tick = () => {
      const left = Math.max(0, due - performance.now()) / 1000;
      countdown.textContent = `${words} in ${left.toFixed(1)} s`;
    };
    tick();
    ticking = setInterval(tick, COUNTDOWN_MS);
  };

  channel.addEventListener("state", ({ detail }) => {
    clearInterval(ticking);
    countdown.textContent = "";
    pill.dataset.state = detail.state;
    pill.title = detail.state === "waiting" && !detail.why ? `the pause was drawn as ${seconds(detail.delaySeconds)}` : "";
    text.textContent = words(detail);
    if (detail.state === "waiting") count(detail.delaySeconds, detail.why ? "connects" : "next try");
    const now = detail.why ? "Connect now" : "Try now";
    button.textContent = { open: "Stop", connecting: "Stop", waiting: now }[detail.state] ?? "Connect";
  });

  button.addEventListener("click", () => {
    if (channel.state === "open" || channel.state === "connecting") channel.stop();
    else channel.start();
  });
  // A network that is back is worth a try at once.
  addEventListener("online", () => {
    if (channel.state === "waiting") channel.start();
  });
}
