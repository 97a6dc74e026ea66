"""How `gateway dev` shows what passes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.text import Text

from gateway.cli.common import printable
from gateway.observe.logs import clock_time

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.core.connection import Connection

__all__ = ["Passing", "cut"]

_MOST_SIGNS: Final = 200
_MOST_BYTES: Final = 64
_STYLES: Final = {"open": "bold", "in": "green", "out": "cyan"}


class Passing:
    """The showing of messages, each on a line.

    Args:
        console: Where they are shown.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, connection: Connection, direction: str, message: str | bytes) -> None:
        """Show a message; or, with the direction `open`, who has come."""
        style = _STYLES[direction]
        shown = _who(connection) if direction == "open" else cut(message)
        line = Text.assemble(
            (f"{clock_time()} ", "dim"),
            (f"{direction:<4} ", style),
            (f"{connection.id} {printable(connection.path)}  ", "dim"),
            (shown, style),
        )
        with suppress(OSError):  # whoever looked has gone
            self._console.print(line)


def cut(message: str | bytes) -> str:
    """Give what a terminal can show of a message, cut where it is long."""
    if isinstance(message, bytes):
        rest = f"… {len(message)} bytes" if len(message) > _MOST_BYTES else ""
        return f"0x{message[:_MOST_BYTES].hex()}{rest}"
    rest = f"… {len(message)} characters" if len(message) > _MOST_SIGNS else ""
    return f"{printable(message[:_MOST_SIGNS])}{rest}"


def _who(connection: Connection) -> str:
    user = "" if connection.user is None else f", user {printable(connection.user)}"
    return f"from {connection.remote}{user}"
