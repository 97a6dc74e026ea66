// Node's `ws`, compression off: `node node_ws.cjs FOLDER PORT`, where FOLDER holds its node_modules.
"use strict";

const path = require("node:path");
const { WebSocketServer, WebSocket } = require(path.join(process.argv[2], "node_modules", "ws"));

const groups = { "/fan": new Set(), "/idle": new Set(), everyone: new Set() };
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[3]),
  perMessageDeflate: false,
  backlog: 1024,
});

server.on("connection", (ws, request) => {
  const group = groups[request.url];
  const joined = group ? [group] : [];
  if (request.url === "/idle") joined.push(groups.everyone);
  for (const each of joined) each.add(ws);
  ws.on("error", () => {}); // a load client that resets its connection is no news
  ws.on("close", () => {
    for (const each of joined) each.delete(ws);
  });
  ws.on("message", (data, isBinary) => {
    if (!group) {
      ws.send(data, { binary: isBinary });
      return;
    }
    for (const member of group) {
      if (member.readyState === WebSocket.OPEN) member.send(data, { binary: isBinary });
    }
  });
});
