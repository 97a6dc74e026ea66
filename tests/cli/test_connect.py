"""Tests of `gateway connect`, over a pipe and on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import socket
import socketserver
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner
from websockets.sync.server import serve

from gateway.cli.conversation import exit_status
from gateway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from websockets.sync.server import ServerConnection

PATIENCE_SECONDS = 20
COMMAND = (sys.executable, "-m", "gateway", "connect")
NOBODY = "http://127.0.0.1:9"
OUTSIDE = {"http_proxy": NOBODY, "https_proxy": NOBODY, "socks_proxy": "socks5://127.0.0.1:9", "no_proxy": ""}
"""The environment of who works behind a proxy, which is none for this machine: nothing comes through it."""


def converse(connection: ServerConnection) -> None:
    """Send each message back; close when asked to, with the code that comes."""
    for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            connection.close(int(message.split()[1]), "as asked")
        elif message == "tell":
            request = connection.request
            assert request is not None
            for name in ("Origin", "Authorization", "X-Mood"):
                connection.send(f"{name}: {request.headers.get(name)}")
            connection.send(f"subprotocol: {connection.subprotocol}")
        else:
            connection.send(message)


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a server that any client may talk to."""

    def refuse(_connection: ServerConnection, request: Any) -> Any:
        if request.path == "/refused":
            return _connection.respond(403, '{"error": "x", "message": "not today\\u001b[2J"}')
        return None

    def select(_connection: ServerConnection, offered: Any) -> Any:
        return offered[0] if offered else None

    with serve(converse, "127.0.0.1", 0, process_request=refuse, select_subprotocol=select) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture
def piped() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """A function that runs the command with lines from a pipe."""

    def piped(*arguments: str, lines: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=lines,
            env=os.environ | OUTSIDE | environ,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    return piped


def behind_a_proxy(monkeypatch: pytest.MonkeyPatch, **environ: str) -> None:
    """Have the environment name proxies that nobody is behind, or others."""
    for name, value in (OUTSIDE | environ).items():
        monkeypatch.setenv(name, value)


class Tunnel(socketserver.StreamRequestHandler):
    """One use of an HTTP proxy: whatever host it is asked for, it leads to the one that the server has."""

    server: Proxy

    def handle(self) -> None:
        """Read a request, answer it, and pass bytes on both ways until one side ends."""
        while (line := self.rfile.readline().strip()) != b"":
            self.server.asked.append(line.decode())
        if not self.server.asked[0].startswith("CONNECT far.example"):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.leads_to)) as far:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pass_on, args=(far, self.connection))
            back.start()
            pass_on(self.connection, far)
            back.join()


class Proxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy for `far.example`, which it takes for a port of this machine.

    Args:
        leads_to: The port.
    """

    def __init__(self, leads_to: int) -> None:
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.leads_to = leads_to
        self.asked: list[str] = []


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until there are no more."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """A proxy that serves."""
    with Proxy(int(url.rpartition(":")[2])) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def test_another_host_is_reached_through_the_proxy(
    url: str,
    proxy: Proxy,
    piped: Callable[..., subprocess.CompletedProcess[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The proxy of the environment leads to other hosts, by their names; not to this machine by any name."""
    there = f"http://me:s3cret@127.0.0.1:{proxy.server_address[1]}"
    environ = {"http_proxy": there, "https_proxy": there, "socks_proxy": ""}
    done = piped("ws://far.example/chat", "--wait", "0.3", lines=b"hello\n", **environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")
    assert proxy.asked[0] == "CONNECT far.example:80 HTTP/1.1"
    assert "Proxy-Authorization: Basic bWU6czNjcmV0" in proxy.asked
    proxy.asked.clear()
    behind_a_proxy(monkeypatch, **environ)
    refused = CliRunner().invoke(app, ["connect", "ws://other.example/chat"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith("cannot connect through the proxy http://127.0.0.1:")
    assert refused.stderr.endswith(": proxy rejected connection: HTTP 403\n")
    assert "s3cret" not in refused.stderr
    proxy.asked.clear()
    for host in ("127.0.0.1", "localhost"):
        done = piped(url.replace("127.0.0.1", host), "--wait", "0.3", lines=b"near\n", **environ)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"near\n", b"")
    assert proxy.asked == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"socks_proxy": ""},
            "cannot connect through the proxy http://127.0.0.1:9: connection refused\n",
        ),
        (
            {"socks_proxy": "socks5://me:s3cret@127.0.0.1:9"},
            (
                "cannot connect through the proxy socks5://127.0.0.1:9: "
                "a SOCKS proxy needs 'pip install python-socks'\n"
            ),
        ),
        (
            {"socks_proxy": "", "https_proxy": "ftp://me:s3cret@proxy"},
            "not a proxy, as the environment names it: scheme ftp isn't supported\n",
        ),
        (
            {"socks_proxy": "", "https_proxy": "http://me:s3cret@proxy:port"},
            "not a proxy, as the environment names it: expected http://host:port\n",
        ),
        (
            {"no_proxy": "far.invalid"},
            "cannot connect: name or service not known\n",
        ),
    ],
)
def test_a_proxy_that_is_of_no_use_is_told(
    environ: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a proxy lacks is told in a line that names it, without its password."""

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "127.0.0.1":
            return look_up(host, *arguments, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    behind_a_proxy(monkeypatch, **environ)
    done = CliRunner().invoke(app, ["connect", "ws://far.invalid/"])
    assert (done.exit_code, done.output) == (1, said)


def test_lines_of_a_pipe_are_sent_and_answers_printed(url: str, piped: Callable[..., Any]) -> None:
    """Each line is a message; each message is a line of standard output, and nothing else is."""
    done = piped(url, "--wait", "0.3", lines="hello\n\n你好\n/x".encode())
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == "hello\n\n你好\n/x\n"


def test_binary_messages_are_hexadecimal(url: str, piped: Callable[..., Any]) -> None:
    """With --binary a line is bytes, and binary messages are printed as 0x and their bytes."""
    done = piped(url, "--binary", "--wait", "0.3", lines=b"00 ff\n0x1234\n")
    assert (done.returncode, done.stdout) == (0, b"0x00ff\n0x1234\n")
    done = piped(url, "--binary", "--wait", "0.3", lines=b"hello\n")
    assert (done.returncode, done.stderr) == (1, b"not hexadecimal\n")


def test_what_the_options_say_is_sent(url: str, piped: Callable[..., Any]) -> None:
    """Headers, token, origin and subprotocols are those that were given."""
    arguments = ("-H", "X-Mood: fine", "--token", "s3cret", "-s", "v2", "-s", "chat")
    done = piped(url, *arguments, "--wait", "0.3", lines=b"tell\n")
    own = f"http{url.removeprefix('ws')}"
    told = [f"Origin: {own}", "Authorization: Bearer s3cret", "X-Mood: fine", "subprotocol: v2"]
    assert done.stdout.decode().splitlines() == told
    done = piped(url, "--origin", "", "--wait", "0.3", lines=b"tell\n", GATEWAY_TOKEN="from-outside")
    assert done.stdout.decode().splitlines()[:2] == ["Origin: None", "Authorization: Bearer from-outside"]


@pytest.mark.parametrize(("code", "status"), [(1000, 0), (4401, 120)])
def test_the_exit_status_tells_the_close_code(url: str, code: int, status: int) -> None:
    """The end ends the command at once, though more lines may come, and its status says how it was."""
    with subprocess.Popen(
        [*COMMAND, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | OUTSIDE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"close {code}\n".encode())
        process.stdin.flush()
        assert process.wait(PATIENCE_SECONDS) == status
        assert process.stderr.read().decode() == f"closed: {code} as asked\n"


def test_each_close_code_has_a_status() -> None:
    """The status is below what shells use for signals, and 0 only for a normal end."""
    assert [exit_status(code) for code in (1000, 1001, 1002, 1006, 1015, 3000, 4999)] == [
        0, 0, 102, 106, 115, 120, 120,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/refused", "refused: 403 Forbidden: not today\\x1b[2J\n"),
        ("", "cannot connect: connection refused\n"),
    ],
)
def test_no_connection_is_told(url: str, path: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is told in the gateway's words, harmless to a terminal."""
    behind_a_proxy(monkeypatch)
    done = CliRunner().invoke(app, ["connect", url + path if path else "ws://127.0.0.1:1"])
    assert (done.exit_code, done.output) == (1, said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("http://127.0.0.1/",), "not a WebSocket URL"),
        (("ws://127.0.0.1:1", "-H", "no colon"), "not a header"),
        (("ws://127.0.0.1:1", "-H", "X-A: b\r\nX-B: c"), "not a header"),
        (("ws://127.0.0.1:1", "--token", "SECRET\n"), "token has a character"),
    ],
)
def test_wrong_arguments_are_told(arguments: tuple[str, ...], said: str) -> None:
    """What is no URL, header or token is refused before anything is sent; a token is never shown."""
    done = CliRunner().invoke(app, ["connect", *arguments])
    assert done.exit_code == 1
    assert said in done.output
    assert "SECRET" not in done.output


class Terminal:
    """The command on a terminal of its own.

    Args:
        url: Where it connects.
        home: Where it keeps its history.
    """

    def __init__(self, url: str, home: Path) -> None:
        environ = OUTSIDE | {"XDG_STATE_HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        near, far = pty.openpty()
        self._near = near
        self.shown = b""
        self.process = subprocess.Popen(
            [*COMMAND, url],
            stdin=far, stdout=far, stderr=far, env=os.environ | environ, start_new_session=True,
        )  # fmt: skip
        os.close(far)

    def until(self, shown: bytes) -> None:
        """Read the screen until something is on it."""
        while shown not in self.shown:
            self.shown += os.read(self._near, 4096)

    def type(self, text: str, shown: str) -> None:
        """Type something, and wait for what it brings on the screen."""
        self.shown = b""
        os.write(self._near, text.encode())
        self.until(shown.encode())

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._near)


@pytest.fixture
def terminal(url: str, tmp_path: Path) -> Iterator[Terminal]:
    """The command on a terminal; it has connected."""
    terminal = Terminal(url, tmp_path)
    # Whatever goes wrong, reading the screen comes to an end.
    guard = threading.Timer(PATIENCE_SECONDS, terminal.process.kill)
    guard.start()
    terminal.until(b"> ")
    yield terminal
    guard.cancel()
    terminal.close()


def test_a_terminal_has_colours_commands_and_a_history(terminal: Terminal, url: str, tmp_path: Path) -> None:
    """Messages come in colours and harmless, commands do what they say, and lines are at hand again."""
    terminal.type("hello\n", "\x1b[32mhello\x1b[0m")
    terminal.type("/hex 00ff\n", "\x1b[36m0x00ff\x1b[0m")
    terminal.type("/ping\n", "pong after")
    terminal.type("//x\n", "\x1b[32m/x\x1b[0m")
    terminal.type("/help\n", "/close [CODE [WHY]]")
    terminal.type("/close 99\n", "not a close code")
    terminal.type("close 4000\n", "closed: 4000 as asked")
    assert terminal.process.wait(PATIENCE_SECONDS) == 120
    history = tmp_path / "gateway" / "connect_history"
    assert history.read_text().splitlines()[0] == "hello"
    assert history.stat().st_mode & 0o077 == 0
    later = Terminal(url, tmp_path)
    try:
        later.until(b"> ")
        later.type("\x1b[A", "close 4000")
    finally:
        later.close()


def test_the_end_of_typing_closes(terminal: Terminal) -> None:
    """Ctrl-D ends the conversation from this side."""
    terminal.type("\x04", "\n")
    assert terminal.process.wait(PATIENCE_SECONDS) == 0
