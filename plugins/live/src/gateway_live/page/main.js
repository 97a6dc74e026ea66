/** The composition root of the page: what there is, and what hears what. */
import { Channel } from "./channel.js";
import { Chart } from "./chart.js";
import { Clock } from "./clock.js";
import { showComparison } from "./comparison.js";
import { wireConsole } from "./console.js";
import { Conversation } from "./conversation.js";
import { byId } from "./dom.js";
import { FIGURES, topOf } from "./figures.js";
import { showLink } from "./link.js";
import { Poller } from "./poller.js";
import { storedConsumer, wireReach } from "./reach.js";
import { Tally } from "./tally.js";

const SHOWN_SAMPLES = 60;
const DRAW_MS = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 250;

const { socketPath, figuresPath, consolePath } = document.body.dataset;
const here = (path) => new URL(path, location.origin).href;
const socketUrl = (path) => here(path).replace(/^http/, "ws");

const clock = new Clock();
const push = new Tally();
const poll = new Tally();
const channel = new Channel(socketUrl(socketPath));
const conversation = new Conversation(channel, push, clock, storedConsumer());
const poller = new Poller(here(figuresPath));
const pushChart = new Chart(byId("push-chart"), byId("push-legend"), "Pushed");
const pollChart = new Chart(byId("poll-chart"), byId("poll-legend"), "Polled");

let figure = FIGURES.load;
let intervalSeconds = 1;
const pollSeconds = () => Number(byId("poll-interval").value);
const windowSeconds = () => Math.max(SHOWN_SAMPLES, SHOWN_SAMPLES * intervalSeconds);

function draw() {
  if (document.hidden) return;
  const now = clock.now();
  const view = { now, windowSeconds: windowSeconds(), intervalSeconds, top: topOf(figure, [...push.samples, ...poll.samples]) };
  pushChart.draw(push.samples, view);
  pollChart.draw(poll.samples, { ...view, intervalSeconds: Math.max(intervalSeconds, pollSeconds()) });
  showComparison(push, poll, clock);
}

function showFigure(name) {
  figure = FIGURES[name];
  pushChart.figure = figure;
  pollChart.figure = figure;
  draw();
}

conversation.addEventListener("snapshot", ({ detail }) => {
  intervalSeconds = detail.interval_seconds;
  push.windowSeconds = poll.windowSeconds = windowSeconds();
  byId("connection-id").textContent = detail.connection;
});
poller.addEventListener("answer", ({ detail: { figures, bytes } }) => {
  poll.requests += 1;
  poll.bytes += bytes;
  if (poll.add(figures)) poll.addArrival(figures, Clock.local());
  else poll.vain += 1;
});
poller.addEventListener("failure", ({ detail: { bytes } }) => {
  poll.requests += 1;
  poll.vain += 1;
  poll.bytes += bytes;
});
byId("poll-interval").addEventListener("change", () => {
  poll.forgetArrivals();
  poller.start(pollSeconds());
});
byId("figure-choice").addEventListener("change", ({ target }) => showFigure(target.value));

showLink(channel);
wireReach(conversation);
wireConsole(socketUrl(consolePath));
showFigure("load");
channel.start();
poller.start(pollSeconds());
setInterval(draw, DRAW_MS);
