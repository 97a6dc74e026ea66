"""A conversation over an open connection: lines go out, messages come in."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text
from websockets.exceptions import ConnectionClosed

from gateway.cli.common import out, printable
from gateway.protocol.close_codes import may_be_sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from websockets.sync.client import ClientConnection

__all__ = ["Conversation", "exit_status"]

_PROMPT: Final = "> "
_KEPT_LINES: Final = 1000
_SHOWN_BYTES: Final = 4096
_LAST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_NORMAL: Final = frozenset({1000, 1001})
_FIRST_OF_APPLICATIONS: Final = 3000
_HELP: Final = """\
/hex 00 ff           send a binary message
/ping                send a ping, and tell how long its pong takes
/close [CODE [WHY]]  close, with 1000 unless said otherwise
//...                send a text that begins with a slash"""


class _Ended(Exception):
    """The end of the connection, which takes the main thread out of its wait for a line."""


def exit_status(code: int) -> int:
    """Give the exit status for a close code that the other side sent."""
    if code in _NORMAL:
        return 0
    return 120 if code >= _FIRST_OF_APPLICATIONS else code - 900


class Conversation:
    """A conversation. Messages are printed to standard output, everything else to standard error.

    Args:
        socket: The open connection.
        binary: Whether lines are hexadecimal, and sent as binary messages.
        wait_seconds: How long to be silent behind the last line of a pipe before closing.
    """

    def __init__(self, socket: ClientConnection, *, binary: bool, wait_seconds: float) -> None:
        self._socket = socket
        self._binary = binary
        self._wait_seconds = wait_seconds
        self._typed = sys.stdin.isatty()
        self._console = out()
        self._notes = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._readline = _find_readline() if self._typed else None
        self._screen = threading.Lock()
        self._drawing = False
        self._prompting = False
        self._heard_at = time.monotonic()
        self._ending = False
        self._over = False
        self._waiting = False
        self._failed = False

    def hold(self) -> int:
        """Hold it to its end; give the exit status."""
        for stream in (sys.stdin, sys.stdout):
            with contextlib.suppress(AttributeError):
                stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        signal.signal(signal.SIGUSR1, self._interrupt)
        listener = threading.Thread(target=self._listen, name="gateway connect", daemon=True)
        try:
            if self._typed:
                self._note(f"connected{self._chosen()}; /help lists commands, Ctrl-D closes", "dim")
            listener.start()
            self._talk()
        except (_Ended, ConnectionClosed):
            pass
        except KeyboardInterrupt:
            self._prompting = False
        self._ending = True
        with contextlib.suppress(ConnectionClosed, KeyboardInterrupt):
            self._socket.close(1000)
        listener.join(_LAST_SECONDS)
        return self._status()

    def _chosen(self) -> str:
        return f", subprotocol {self._socket.subprotocol}" if self._socket.subprotocol else ""

    def _status(self) -> int:
        protocol = self._socket.protocol
        received = protocol.close_rcvd
        if received is not None and not protocol.close_rcvd_then_sent:
            return int(self._failed)  # this side has ended it
        code, reason = (1006, "") if received is None else (received.code, received.reason)
        style = "dim" if code in _NORMAL else "red"
        self._note(f"closed: {code} {printable(reason)}".rstrip(), style)
        return exit_status(code)

    # The other side.

    def _listen(self) -> None:
        """Print what comes, in a thread of its own, and end the wait of the main one at the end."""
        try:
            with contextlib.suppress(ConnectionClosed):
                for message in self._socket:
                    self._heard_at = time.monotonic()
                    self._show(message)
        finally:
            if not self._ending:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._over = True
        if self._waiting:
            raise _Ended

    @contextlib.contextmanager
    def _until_the_end(self) -> Iterator[None]:
        """Let the end of the connection end a wait, and nothing else that the main thread does."""
        self._waiting = True
        try:
            if self._over:
                raise _Ended
            yield
        finally:
            self._waiting = False

    def _show(self, message: str | bytes) -> None:
        if isinstance(message, str):
            text, style = message, "green"
        else:
            text, style = f"0x{message.hex()}", "cyan"
        if not self._console.is_terminal:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            return
        if isinstance(message, bytes) and len(message) > _SHOWN_BYTES:
            text = f"0x{message[:_SHOWN_BYTES].hex()}… {len(message)} bytes"
        with self._over_the_prompt():
            self._console.print(Text(printable(text), style))

    def _note(self, text: str, style: str) -> None:
        with self._over_the_prompt():
            self._notes.print(Text(text, style))

    @contextlib.contextmanager
    def _over_the_prompt(self) -> Iterator[None]:
        """Print where the prompt is, and put the prompt below."""
        with self._screen:
            if self._prompting:
                sys.stdout.write("\r\x1b[K")
                sys.stdout.flush()
            yield
            if self._prompting:
                self._draw()

    def _draw(self) -> None:
        """Put the prompt on the screen, with what has been typed behind it."""
        typed = self._readline.get_line_buffer() if self._readline is not None else ""
        sys.stdout.write(_PROMPT + typed)
        sys.stdout.flush()

    # This side.

    def _talk(self) -> None:
        if not self._typed:
            self._pipe()
            return
        with _history(self._readline):
            while (line := self._read_line()) is not None:
                if line.startswith("/") and not line.startswith("//"):
                    self._obey(line)
                elif line:
                    self._send(line.removeprefix("/") if line.startswith("//") else line)

    def _pipe(self) -> None:
        """Send each line of a pipe, and wait for the answers behind its end."""
        while True:
            with self._until_the_end():
                line = sys.stdin.readline()
            if not line:
                break
            if not self._send(line.removesuffix("\n")):
                self._failed = True
                return
        self._heard_at = time.monotonic()
        while time.monotonic() - self._heard_at < self._wait_seconds:
            with self._until_the_end():
                time.sleep(_LOOK_SECONDS)

    def _read_line(self) -> str | None:
        """Read a line from the terminal; give `None` at its end."""
        self._screen.acquire()
        self._drawing = True
        if self._readline is None:
            self._drawn()
        else:
            # Until the prompt is on the screen, whatever were printed would run into it.
            self._readline.set_pre_input_hook(self._drawn)
        try:
            with self._until_the_end():
                return input(_PROMPT)
        except EOFError:
            sys.stdout.write("\n")
            return None
        finally:
            self._drawn()
            self._prompting = False

    def _drawn(self) -> None:
        if self._drawing:
            self._drawing = False
            self._prompting = True
            self._screen.release()

    def _send(self, line: str, *, binary: bool | None = None) -> bool:
        """Send a line; tell whether it could be sent."""
        if not (self._binary if binary is None else binary):
            self._socket.send(line)
            return True
        try:
            data = bytes.fromhex(line.strip().removeprefix("0x"))
        except ValueError:
            self._note("not hexadecimal", "red")
            return False
        self._socket.send(data)
        return True

    def _obey(self, line: str) -> None:
        """Do what a command says."""
        command, _, rest = line.partition(" ")
        if command == "/hex":
            self._send(rest, binary=True)
        elif command == "/ping":
            began = time.monotonic()
            came = self._socket.ping().wait(_LAST_SECONDS)
            took = f"pong after {(time.monotonic() - began) * 1000:.1f} ms"
            self._note(
                took if came else f"no pong within {_LAST_SECONDS:g} seconds", "dim" if came else "red"
            )
        elif command == "/close":
            code, _, reason = rest.partition(" ")
            if code and not (code.isdecimal() and may_be_sent(int(code))):
                self._note("not a close code: 1000, or 3000 to 4999", "red")
            else:
                self._socket.close(int(code or 1000), reason)
        else:
            self._note(_HELP, "dim")


def _find_readline() -> Any:
    """Give the module that edits lines; `None` where there is none, and the terminal itself does it.

    It may write to the terminal when it is imported, so this is done for a conversation only.
    """
    try:
        import readline  # noqa: PLC0415
    except ImportError:
        return None
    return readline


@contextlib.contextmanager
def _history(readline: Any) -> Iterator[None]:
    """Have the lines of former conversations at hand, and keep those of this one, for their author alone."""
    if readline is None:
        yield
        return
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    file = Path(state) / "gateway" / "connect_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(_KEPT_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
            readline.write_history_file(file)
