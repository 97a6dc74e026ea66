/** The composition root of the dashboard: what there is, and what hears what. */
import { logInAgain } from "./api.js";
import { Channel } from "./channel.js";
import { Connections } from "./connections.js";
import { Disconnecting } from "./disconnecting.js";
import { byId, say } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Groups } from "./groups.js";
import { writeHealth } from "./health.js";
import { Nodes } from "./nodes.js";
import { Plugins } from "./plugins.js";
import { Publishing } from "./publishing.js";
import { Reasons } from "./reasons.js";
import { Tiles } from "./tiles.js";
import { Views } from "./views.js";

const BEAT_MS = 1000;
const GATHERING_MS = 60;

const fleet = new Fleet();
const channel = new Channel(new URL("/admin/live", location.href).href.replace(/^http/, "ws"));
const views = new Views();
const disconnecting = new Disconnecting(fleet);
const tiles = new Tiles(fleet);
const reasons = new Reasons(fleet);
const publishing = new Publishing(fleet);
const shown = {
  connections: new Connections(disconnecting),
  groups: new Groups(fleet, disconnecting),
  plugins: new Plugins(fleet),
  nodes: new Nodes(fleet),
  publish: publishing,
};
const tabs = new BroadcastChannel("gateway-admin");

let open = false;
let pending = null;

function write() {
  pending = null;
  if (document.hidden || fleet.nodes.length === 0) return;
  if (views.name === "overview") {
    tiles.write();
    reasons.write();
    writeHealth(fleet);
  } else {
    shown[views.name].write?.();
  }
}

function writeSoon() {
  // What the nodes tell one after the other is written once.
  pending ??= setTimeout(write, GATHERING_MS);
}

function takeSession({ name, scopes }) {
  say(byId("who"), name);
  disconnecting.allowed = scopes.includes("disconnect");
  if (!scopes.includes("publish")) publishing.allowed = false;
}

const take = {
  families({ families, session }) {
    fleet.families = families;
    takeSession(session);
  },
  figures(message) {
    fleet.take(message);
    writeSoon();
  },
  gone({ node }) {
    fleet.drop(node);
    writeSoon();
  },
};

channel.addEventListener("message", ({ detail }) => take[detail.type]?.(detail));
channel.addEventListener("state", ({ detail: { state, pause } }) => {
  open = state === "open";
  byId("link-state").dataset.state = state;
  byId("main").classList.toggle("stale", state === "waiting");
  const words = { connecting: "Connecting", open: "Live", waiting: `Lost, next try in ${Math.ceil(pause)} s`, ended: "Log in again" };
  say(byId("link-text"), words[state]);
  if (state === "ended") logInAgain();
  // A session that has ended is refused like a gateway that is away: the API tells them apart.
  if (state === "waiting") fetch("/api/session", { headers: { "x-gateway-admin": "1" }, cache: "no-store" }).then(({ status }) => status === 401 && logInAgain(), () => {});
});

views.addEventListener("view", ({ detail: { name, query } }) => {
  for (const [each, view] of Object.entries(shown)) if (each !== name) view.stop?.();
  shown[name]?.start?.(query);
  write();
});

document.addEventListener("visibilitychange", write);
for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
// Whoever logs out in one tab has logged out in all.
byId("logout").addEventListener("submit", () => tabs.postMessage("logout"));
tabs.addEventListener("message", () => setTimeout(logInAgain, 500));

setInterval(() => {
  if (!open) return;
  if (fleet.prune() > 0) writeSoon();
  if (fleet.moves) tiles.beat();
}, BEAT_MS);
views.start();
channel.start();
