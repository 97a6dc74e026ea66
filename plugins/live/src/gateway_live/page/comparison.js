import { byId, show } from "./dom.js";
import { bytes, count, seconds, times } from "./words.js";

const ENOUGH_POINTS = 3;

function showFacts(way, tally, delay, age) {
  show(byId(`${way}-requests`), count(tally.requests), tally.requests);
  show(byId(`${way}-points`), count(tally.points), tally.points);
  show(byId(`${way}-bytes`), bytes(tally.bytes), tally.bytes);
  show(byId(`${way}-delay`), seconds(delay), delay);
  show(byId(`${way}-age`), age === null ? "–" : `${age.toFixed(1)} s`, age);
}

function showBars(name, push, poll, words) {
  const most = Math.max(push ?? 0, poll ?? 0) || 1;
  for (const [way, value] of [["push", push], ["poll", poll]]) {
    byId(`bar-${way}-${name}`).style.setProperty("--part", String((value ?? 0) / most));
    show(byId(`bar-${way}-${name}-value`), value === null ? "–" : words(value), value);
  }
}

/** Say in one or two sentences what the numbers show. */
export function verdict(push, poll, pushDelay, pollDelay) {
  if (push.points < ENOUGH_POINTS || poll.points < ENOUGH_POINTS) return "Counting what each way costs…";
  const sentences = [];
  if (pushDelay !== null && pollDelay !== null) {
    const late = (delay) => seconds(delay).replace("<", "less than");
    sentences.push(`Push shows a sample ${late(pushDelay)} after it was taken, polling ${late(pollDelay)}.`);
  }
  const ratio = poll.bytesEach / push.bytesEach;
  const cost = ratio >= 1 ? `${times(ratio)} the bytes of push` : `${times(1 / ratio)} fewer bytes than push`;
  const vain = poll.vain ? `, ${count(poll.vain)} of them in vain` : "";
  sentences.push(
    `For each sample, polling takes ${cost}.`,
    `It has made ${count(poll.requests)} requests${vain}; push made ${count(push.requests)}.`,
  );
  return sentences.join(" ");
}

/** Show the facts of both ways and what they come to. */
export function showComparison(push, poll, clock) {
  const age = (tally) => (tally.newest ? Math.max(0, clock.now() - tally.newest.time) : null);
  const [pushDelay, pollDelay] = [push.delay(clock), poll.delay(clock)];
  showFacts("push", push, pushDelay, age(push));
  showFacts("poll", poll, pollDelay, age(poll));
  show(byId("push-messages"), count(push.messages), push.messages);
  show(byId("poll-vain"), count(poll.vain), poll.vain);
  showBars("requests", push.requests, poll.requests, count);
  showBars("each", push.bytesEach, poll.bytesEach, bytes);
  showBars("delay", pushDelay, pollDelay, seconds);
  show(byId("verdict"), verdict(push, poll, pushDelay, pollDelay), "");
}
