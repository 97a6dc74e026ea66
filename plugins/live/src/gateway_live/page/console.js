import { describeCode } from "./close-codes.js";
import { byId, show } from "./dom.js";
import { EventLog } from "./event-log.js";
import { utf8Bytes } from "./wire.js";
import { count } from "./words.js";

const STATES = ["CONNECTING", "OPEN", "CLOSING", "CLOSED"];
const WATCH_MS = 100;
const TEXT_SHOWN = 400;
const BYTES_SHOWN = 48;

const size = (number) => `${count(number)} ${number === 1 ? "byte" : "bytes"}`;
const cut = (text) => (text.length > TEXT_SHOWN ? `${text.slice(0, TEXT_SHOWN)}…` : text);

function describeMessage(data) {
  if (typeof data === "string") return `text, ${size(utf8Bytes(data))}: ${cut(data)}`;
  const shown = [...new Uint8Array(data, 0, Math.min(BYTES_SHOWN, data.byteLength))];
  const hex = shown.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `binary, ${size(data.byteLength)}: ${hex}${data.byteLength > BYTES_SHOWN ? " …" : ""}`;
}

/** The console on the browser's own `WebSocket`: nothing between the buttons and its methods, its events and the log. */
export function wireConsole(defaultUrl) {
  const log = new EventLog(byId("event-log"));
  const [connect, disconnect, send] = ["connect", "disconnect", "send"].map(byId);
  const [url, subprotocol, message, binary] = ["console-url", "console-subprotocol", "message", "message-binary"].map(byId);
  let socket = null;

  const watch = () => {
    const state = socket?.readyState;
    show(byId("ready-state"), socket ? `${STATES[state]} (${state})` : "no socket yet", state);
    byId("ready-state").dataset.state = socket ? STATES[state] : "";
    show(byId("buffered-amount"), size(socket?.bufferedAmount ?? 0), socket?.bufferedAmount ?? 0);
    send.disabled = state !== WebSocket.OPEN;
    disconnect.disabled = state !== WebSocket.OPEN && state !== WebSocket.CONNECTING;
    connect.disabled = state === WebSocket.OPEN || state === WebSocket.CONNECTING;
  };

  /** Run one of the socket's methods; what it throws is news as well. */
  const attempt = (act) => {
    try {
      act();
    } catch (error) {
      log.add("exception", `${error.name}: ${error.message}`);
    }
    watch();
  };

  const open = () => {
    const protocols = subprotocol.value.split(",").map((name) => name.trim()).filter(Boolean);
    const made = new WebSocket(url.value.trim(), protocols);
    made.binaryType = "arraybuffer";
    socket = made;
    log.add("connecting", made.url);
    const on = (name, describe) =>
      made.addEventListener(name, (event) => {
        log.add(name, describe(event));
        watch();
      });
    on("open", () => `subprotocol ${made.protocol || "none"}, extensions ${made.extensions || "none"}`);
    on("message", ({ data }) => describeMessage(data));
    on("error", () => "a browser does not tell a page why");
    on("close", ({ code, reason, wasClean }) => {
      return `code ${describeCode(code)}, reason ${reason ? `“${reason}”` : "none"}, wasClean ${wasClean}`;
    });
  };

  const sendMessage = () => {
    const text = message.value;
    const data = binary.checked ? new TextEncoder().encode(text) : text;
    socket.send(data);
    const kind = binary.checked ? "binary" : "text";
    log.add("sent", `${kind}, ${size(utf8Bytes(text))}: ${cut(text)} (bufferedAmount ${socket.bufferedAmount})`);
  };

  const close = () => {
    const code = byId("close-code").value.trim();
    const reason = byId("close-reason").value;
    if (!code) socket.close();
    else if (reason) socket.close(Number(code), reason);
    else socket.close(Number(code));
    const why = reason && code ? ` and reason “${reason}”` : "";
    log.add("closing", code ? `asked with code ${code}${why}` : "asked without a code");
  };

  url.value = defaultUrl;
  connect.addEventListener("click", () => attempt(open));
  disconnect.addEventListener("click", () => attempt(close));
  send.addEventListener("click", () => attempt(sendMessage));
  byId("clear-log").addEventListener("click", () => log.clear());
  url.addEventListener("keydown", (event) => event.key === "Enter" && connect.click());
  message.addEventListener("keydown", (event) => event.key === "Enter" && send.click());
  document.addEventListener("securitypolicyviolation", ({ blockedURI }) => {
    log.add("blocked", `this page's Content-Security-Policy does not let it reach ${blockedURI}`);
  });
  setInterval(watch, WATCH_MS);
  watch();
}
