"""uWebSockets through Python: `socketify`, with the native publish of uWebSockets, compression off."""

from __future__ import annotations

import sys

from socketify import App, AppListenOptions, OpCode, WebSocket

app = App()


def echo(ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    """Send the message back."""
    ws.send(message, opcode)


def fan(_ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    """Publish the message to all connections of this route, its sender included."""
    app.publish("fan", message, opcode)


def idle(_ws: WebSocket, message: str | bytes, opcode: OpCode) -> None:
    """Publish the message to all idle connections."""
    app.publish("idle", message, opcode)


def join_fan(ws: WebSocket) -> None:
    """Become a member."""
    ws.subscribe("fan")


def join_idle(ws: WebSocket) -> None:
    """Be in two groups and wait."""
    ws.subscribe("everyone")
    ws.subscribe("idle")


# As the gateway's own limit; at the default of 64 KiB it drops publications.
LIMITS = {"compression": 0, "max_backpressure": 1024 * 1024}

app.ws("/echo", {"message": echo, **LIMITS})
app.ws("/fan", {"open": join_fan, "message": fan, **LIMITS})
app.ws("/idle", {"open": join_idle, "message": idle, **LIMITS})
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda _config: None)
app.run()
