"""Tests of `gateway run`: what it prints, what it logs, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import ssl
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cli.run import _announce, _Announced
from gateway.config import GatewayConfig

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ECHO = """
    listen: {port: 0, drain_seconds: 0}
    plugins: {live: {enabled: false}}
    routes:
      - {path: /echo, allow_missing_origin: true, handlers: [echo]}
      - {path: "/chat/{room}", handlers: [echo]}
"""

STUBBORN = ECHO + "      - {path: /slow, allow_missing_origin: true, handlers: [echo]}\n"

START = """
    import asyncio
    import logging
    import warnings

    import gateway

    @gateway.hookimpl
    async def gateway_start():
"""


def free(port: int) -> bool:
    """Tell whether a port of 127.0.0.1 can be bound."""
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False


async def ended(running: Any, *, port: int) -> int:
    """Wait for the end; check that nothing is left, and give the exit status."""
    status: int = await running.exit_status()
    assert running.session() == []
    assert free(port)
    assert "Traceback" not in "\n".join(running.printed)
    return status


class TestServing:
    """The command prints where it is found, serves, and ends on a signal."""

    @pytest.mark.parametrize(
        ("number", "options"),
        [(signal.SIGINT, ()), (signal.SIGTERM, ()), (signal.SIGTERM, ("--in-process",))],
        ids=["SIGINT", "SIGTERM", "in-process"],
    )
    async def test_a_signal_ends_it_cleanly(
        self,
        write: Callable[[str], Path],
        run: Callable[..., Awaitable[Any]],
        number: signal.Signals,
        options: tuple[str, ...],
    ) -> None:
        """It prints its URLs with the real port and serves; on SIGINT and SIGTERM it exits with 0.

        Connected clients get a closing handshake with 1001 before.
        """
        write(ECHO)
        running = await run(*options)
        lines = await running.printed_lines(2)
        port = running.port
        assert lines == [f"ws    ws://127.0.0.1:{port}/echo", f"ws    ws://127.0.0.1:{port}/chat/{{room}}"]
        url = f"ws://127.0.0.1:{port}/echo"
        async with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
            for client in (first, second):
                await client.send("hello")
                assert await client.recv() == "hello"
            running.signal(number)
            for client in (first, second):
                with pytest.raises(ConnectionClosed) as caught:
                    await client.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == 1001
            assert await ended(running, port=port) == 0
        told = [line["event"] for line in running.events if line["event"] != "connection_closed"]
        alone = ["started", "stopping", "stopped"]
        kept = ["worker_started", "workers_started", "workers_stopping", "workers_stopped"]
        assert [event for event in told if event in alone] == alone
        assert [event for event in told if event not in alone] == ([] if options else kept)
        assert len(running.events) == len(running.log)

    async def test_a_second_signal_does_not_wait(
        self, write: Callable[[str], Path], run: Callable[..., Awaitable[Any]]
    ) -> None:
        """While it waits for a client that does not answer, another SIGTERM ends it at once, with 1."""
        write(STUBBORN)
        running = await run()
        await running.printed_lines(3)
        port = running.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        running.signal(signal.SIGTERM)
        assert await reader.readexactly(4) == b"\x88\x13\x03\xe9"
        await running.logged("stopping")
        running.signal(signal.SIGTERM)
        assert await ended(running, port=port) == 1
        assert running.events[-1]["event"] == "stopped_at_once"
        writer.close()

    async def test_a_terminal_that_is_closed_ends_it(self, write: Callable[[str], Path]) -> None:
        """SIGHUP means a reload, but not where it says that there is nobody any more who sees the gateway."""
        write(ECHO)
        ours, theirs = pty.openpty()
        take = "import fcntl, os, sys, termios; fcntl.ioctl(1, termios.TIOCSCTTY, 0)\n"
        command = (sys.executable, "-m", "gateway", "run")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", f"{take}os.execv(sys.argv[1], sys.argv[1:])", *command),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        printed = b""
        while b"/chat/" not in printed:
            printed += await asyncio.to_thread(os.read, ours, 4096)
        os.close(ours)
        assert await asyncio.wait_for(process.wait(), 20) == 0

    async def test_with_a_certificate(
        self, folder: Path, write: Callable[[str], Path], run: Callable[..., Awaitable[Any]]
    ) -> None:
        """With a certificate it prints https and wss, and the page where the live plugin is enabled."""
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for part in certificate.cert_chain_pems:
            part.write_to_path(folder / "chain.pem", append=True)
        text = "port: 0, tls: {certificate: chain.pem, key: key.pem}"
        write(ECHO.replace("port: 0", text).replace("enabled: false", "enabled: true"))
        running = await run()
        page, first, _ = await running.printed_lines(3)
        assert page == f"page  https://127.0.0.1:{running.port}/"
        assert first == f"ws    wss://127.0.0.1:{running.port}/echo"
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with connect(first.split()[1], ssl=context, proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        running.signal(signal.SIGTERM)
        assert await ended(running, port=running.port) == 0


class TestLogging:
    """Everything that is logged has one form."""

    async def test_what_plugins_log_and_warn_becomes_lines(
        self,
        write: Callable[[str], Path],
        run: Callable[..., Awaitable[Any]],
        install: Callable[[str, str, str], None],
    ) -> None:
        """A plugin's own logger, its warnings and the failure of its task are JSON lines like the rest."""
        source = (
            START
            + """
        logging.getLogger("chatty").info("from the plugin")
        logging.getLogger("chatty").debug("too quiet")
        warnings.warn("from python", UserWarning)
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        """
        )
        install("chatty-plugin", "chatty", source)
        write(ECHO)
        running = await run()
        await running.printed_lines(2)
        await running.until(lambda: "ZeroDivisionError" in "\n".join(running.log))
        running.signal(signal.SIGTERM)
        assert await running.exit_status() == 0
        lines = [json.loads(line) for line in running.log]
        said = {line["logger"]: line["message"] for line in lines if line["event"] == "library_log"}
        assert said["chatty"] == "from the plugin"
        assert "UserWarning: from python" in said["py.warnings"]
        assert "Exception in callback" in said["asyncio"]

    async def test_options_a_secret_and_the_form_for_people(
        self, write: Callable[[str], Path], run: Callable[..., Awaitable[Any]]
    ) -> None:
        """With `log.format: console` lines are plain text, and `--host` and `--port` go before the file.

        A token of the environment opens the API, and is neither printed nor logged, at level debug too.
        """
        api = 'api: {tokens: [{name: ops, token: "${TOKEN}"}]}\n    log: {level: debug, format: console}\n'
        write(ECHO.replace("port: 0", "host: 127.0.0.1, port: 1") + f"    {api}")
        running = await run("--host", "127.0.0.2", "--port", "0", environ={"TOKEN": "hunter2-secret"})
        first, _ = await running.printed_lines(2)
        assert first == f"ws    ws://127.0.0.2:{running.port}/echo"
        async with connect(f"ws://127.0.0.2:{running.port}/echo", proxy=None):
            pass
        reader, writer = await asyncio.open_connection("127.0.0.2", running.port)
        body = b'{"everyone": true, "data": "hello"}'
        head = "POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hunter2-secret\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        for event, fact in (("started", "host=127.0.0.2"), ("api_published", "")):
            await running.until(lambda event=event: any(f" {event} " in line for line in running.log))
            assert any(f" {event} " in line and fact in line for line in running.log), running.log
        writer.close()
        running.signal(signal.SIGTERM)
        assert await running.exit_status() == 0
        assert running.events == []
        assert "\x1b" not in "".join(running.log)
        assert "hunter2" not in "\n".join(running.printed + running.log)


class TestRefusing:
    """What keeps it from serving is one clear line, and exit status 1."""

    def test_a_taken_port(
        self, write: Callable[[str], Path], command: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        """A port that another program has is named, with the reason."""
        write(ECHO)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            done = command("run", "--port", str(port))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"cannot listen on 127.0.0.1:{port}: address already in use\n"

    @pytest.mark.parametrize(
        ("host", "line"),
        [
            ("192.0.2.1", "cannot listen on 192.0.2.1:0: cannot assign requested address\n"),
            ("h" * 70, f"cannot listen on {'h' * 70}:0: not the name of a host\n"),
        ],
        ids=["foreign", "no-name"],
    )
    def test_an_address_that_is_not_ours(
        self,
        write: Callable[[str], Path],
        inside: Callable[..., subprocess.CompletedProcess[str]],
        host: str,
        line: str,
    ) -> None:
        """An address that this machine does not have is told like a taken port."""
        write(ECHO)
        done = inside("run", "--host", host)
        assert (done.returncode, done.stderr) == (1, line)

    def test_a_bad_file(
        self, write: Callable[[str], Path], command: Callable[..., subprocess.CompletedProcess[str]]
    ) -> None:
        """A file with errors is told as `gateway check` tells it, and nothing is served."""
        write("routes: [{path: /echo, handlers: [ecco]}]")
        done = command("run")
        assert (done.returncode, done.stdout) == (1, "")
        line, hint = done.stderr.splitlines()
        assert line.startswith("gateway.yaml:1:")
        assert hint == "  hint: did you mean 'echo'?"

    def test_a_path_that_two_claim(
        self,
        write: Callable[[str], Path],
        command: Callable[..., subprocess.CompletedProcess[str]],
        inside: Callable[..., subprocess.CompletedProcess[str]],
    ) -> None:
        """It is told in the gateway's words, without a traceback, and who claims it is said by the check."""
        write("{listen: {port: 0}, metrics: {public: true}, routes: [{path: /metrics}]}")
        line = "two parts of the gateway claim one path, `gateway check` says which: metrics [GET]"
        for options in ((), ("--in-process",)):
            done = command("run", *options)
            assert (done.returncode, done.stdout) == (1, "")
            logged, told = done.stderr.splitlines()
            assert told == f"cannot start: {line}"
            assert json.loads(logged)["reason"] == line
            assert "exception" not in json.loads(logged)
        checked = inside("check").stderr
        assert checked.startswith("gateway.yaml:1:62: routes[0].path: path is served by the gateway itself")

    def test_a_handler_that_fails_at_its_start(
        self,
        write: Callable[[str], Path],
        command: Callable[..., subprocess.CompletedProcess[str]],
        install: Callable[[str, str, str], None],
    ) -> None:
        """The failure is one line that names the handler; the traceback stands in the log.

        `test_a_failed_start_ends_all` has a hook fail, with several workers.
        """
        source = """
            import gateway

            class Weak(gateway.Handler):
                def on_start(self, node):
                    raise OSError(13, "no such table")

            @gateway.hookimpl
            def gateway_handlers():
                return {"weak": Weak}
        """
        install("weak-plugin", "weak", source)
        write("listen: {port: 0}\nroutes: [{path: /weak, handlers: [weak]}]")
        done = command("run")
        assert (done.returncode, done.stdout) == (1, "")
        *log, line = done.stderr.splitlines()
        fact = "PermissionError: [Errno 13] no such table"
        assert line == f"cannot start: handler 'weak' of route '/weak' failed at its start: {fact}"
        (failed,) = [json.loads(text) for text in log]
        assert failed["event"] == "start_failed"
        assert "weak_module.py" in failed["exception"]

    async def test_a_signal_while_it_starts(
        self,
        write: Callable[[str], Path],
        run: Callable[..., Awaitable[Any]],
        install: Callable[[str, str, str], None],
    ) -> None:
        """A start that waits for a plugin is given up on SIGINT, with exit status 0.

        On SIGTERM, with several workers, `test_an_end_while_it_starts` has it.
        """
        source = START + "        print('waiting', flush=True)\n        await asyncio.Event().wait()\n"
        install("slow-plugin", "slow", source)
        write(ECHO)
        running = await run()
        assert await running.printed_lines(1) == ["waiting"]
        running.signal(signal.SIGINT)
        assert await running.exit_status() == 0
        assert running.session() == []
        events = [line["event"] for line in running.events]
        assert events == ["workers_stopping", "start_cancelled", "workers_stopped"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("::1", "[::1]"),
        ("10.1.2.3", "10.1.2.3"),
        ("gw.example.com", "gw.example.com"),
    ],
)
def test_the_addresses_that_are_printed_can_be_opened(
    capsys: pytest.CaptureFixture[str], host: str, shown: str
) -> None:
    """A wildcard address is printed as the loopback one, and IPv6 in its brackets."""
    config = GatewayConfig.model_validate(
        {"listen": {"host": host}, "admin": {"host": host}, "routes": [{"path": "/:on:"}]}
    )
    _announce(_Announced(8000, serves_page=True, admin_port=8001), config)
    expected = f"page  http://{shown}:8000/\nws    ws://{shown}:8000/:on:\nadmin http://{shown}:8001/admin\n"
    assert capsys.readouterr().out == expected
