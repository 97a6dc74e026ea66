/** The composition root of the page of notes: what there is, and what hears what. */
import { Channel } from "./channel.js";
import { byId, make, show } from "./dom.js";
import { Envelopes } from "./envelopes.js";
import { showLink } from "./link.js";
import { NoteList } from "./note-list.js";
import { storedConsumer } from "./reach.js";
import { Story } from "./story.js";
import { timeOfDay } from "./words.js";

const { socketPath, group, resume, offset, epoch } = document.body.dataset;
const keepsHistory = byId("trouble").dataset.trouble !== "no_history";
const socketUrl = new URL(socketPath, location.origin).href.replace(/^http/, "ws");

const envelopes = new Envelopes(resume);
const channel = new Channel(() => envelopes.urlOf(socketUrl));
const list = new NoteList(byId("notes"), { epoch, offset });
const story = new Story(byId("story"));

const [delay, text, publish, drop] = ["delay", "text", "publish", "drop"].map(byId);
const result = byId("publish-result");
const counts = { replayed: 0, live: 0, recovered: 0 };
let missed = 0;
let inOrder = true;

const pauseSeconds = () => Number(delay.value);
const say = (words, bad = false) => {
  result.textContent = words;
  result.classList.toggle("bad", bad);
};

function wireDelay() {
  const asked = new URLSearchParams(location.search).get("delay");
  if (asked !== null && /^\d+$/.test(asked)) delay.value = asked;
  const showDelay = () => show(byId("delay-shown"), `${delay.value} s`, delay.value);
  showDelay();
  delay.addEventListener("input", () => {
    showDelay();
    history.replaceState(null, "", `?delay=${delay.value}`);
    if (story.isFirst && channel.state === "waiting") begin();
  });
  byId("load-again").addEventListener("click", () => location.reload());
}

/** Connect so many seconds after the page was rendered. */
function begin() {
  channel.startIn(Math.max(0, pauseSeconds() - story.secondsAway), "Not connected yet");
}

function wirePublishing() {
  const send = () => {
    if (!text.value.trim()) say("Write a note first.", true);
    else if (!channel.sendJson({ type: "note", from: storedConsumer(), text: text.value })) say("There is no open connection.", true);
    text.focus();
  };
  publish.addEventListener("click", send);
  text.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && send());
  envelopes.addEventListener("answer", ({ detail }) => {
    if (detail.type === "error") {
      say(`The gateway answered: ${detail.error}.`, true);
    } else if (detail.type === "noted") {
      say(detail.offset === null ? "Published." : `Published as #${detail.offset}.`);
      text.value = "";
    }
  });
}

function localTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    element.textContent = timeOfDay(new Date(element.dateTime)).slice(0, 8);
  }
}

channel.addEventListener("state", ({ detail }) => {
  const open = detail.state === "open";
  publish.disabled = drop.disabled = !open;
  if (open) say("");
  else if (detail.state !== "connecting") say("Not connected: publish from a second tab.");
  if (detail.state !== "connecting" && !open) story.leave(detail);
});
envelopes.addEventListener("publication", ({ detail }) => {
  if (detail.group !== group) return;
  const how = !detail.missed ? "live" : story.isFirst ? "replayed" : "recovered";
  const { isNew, follows } = list.add(detail, how);
  inOrder &&= follows;
  if (!isNew) return;
  if (detail.missed) missed += 1;
  counts[how] += 1;
  show(byId(`count-${how}`), String(counts[how]), counts[how]);
});
envelopes.addEventListener("arrived", ({ detail }) => {
  byId("connection-id").textContent = detail.connection;
  if (!detail.recovered) list.breakOff();
  story.arrive({ recovered: detail.recovered, missed, inOrder, keepsHistory });
  // Not before: a connection that was cut while it brought what was missed leaves the rest to the next.
  [missed, inOrder] = [0, true];
});
envelopes.addEventListener("gap", ({ detail }) => {
  const concerned = detail.group === undefined ? !keepsHistory : detail.group === group;
  if (!concerned) return;
  list.breakOff();
  story.gap();
});
drop.addEventListener("click", () => channel.startIn(pauseSeconds(), "Link dropped by this page"));

localTimes();
wireDelay();
wirePublishing();
showLink(channel);
envelopes.hear(channel);
begin();
