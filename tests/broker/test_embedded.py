"""Tests of the embedded broker: a real server, whom it serves, and what happens when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import tempfile
from contextlib import asynccontextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import pytest

from gateway.broker import embedded
from gateway.broker.embedded import EmbeddedServer, EmbeddedServerError
from gateway.broker.server_process import answers
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def log() -> StringIO:
    """What was logged."""
    return StringIO()


@asynccontextmanager
async def started(
    log: StringIO, folder: Path | None = None, hang: float = 10.0
) -> AsyncIterator[EmbeddedServer]:
    """Start a server for a block."""
    server = EmbeddedServer(folder, 2_000_000, hang, make_logger("debug", "json", log))
    try:
        await server.start()
        yield server
        await server.stop()
    finally:
        await server.end()


def listed(folder: Path) -> list[Path]:
    """Give what is in a folder."""
    return list(folder.iterdir())


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def restarted(log: StringIO, times: int = 1) -> None:
    """Wait until the server has been started anew so many times."""
    await until(lambda: log.getvalue().count('"embedded_broker_started"') == times + 1)


def test_it_serves_whoever_knows_its_token(log: StringIO, temporary: Path) -> None:
    """It listens on this machine only and asks for a token, which no other user can find; then it is gone."""

    async def main() -> None:
        async with started(log) as server:
            assert server.url == f"nats://127.0.0.1:{server._port}"
            assert await answers("127.0.0.1", server._port, server.token, 5)
            assert not await answers("127.0.0.1", server._port, "another", 5)
            assert not await answers("127.0.0.2", server._port, server.token, 5)
            client = await nats.connect(server.url, token=server.token)
            assert client.max_payload == 2_000_000
            assert (await client.jetstream().account_info()).streams == 0
            await client.close()
            (folder,) = listed(temporary)
            config = folder / "nats-server.conf"
            assert server.token in config.read_text()
            assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(config.stat().st_mode)) == (
                0o700,
                0o600,
            )
            process = Path(f"/proc/{server._server.pid}")
            for name in ("cmdline", "environ"):
                assert server.token.encode() not in (process / name).read_bytes()
        assert listed(temporary) == []
        assert not await answers("127.0.0.1", server._port, server.token, 5)
        assert server.token not in log.getvalue()

    asyncio.run(main())


def test_its_data_survive_its_death(log: StringIO, tmp_path: Path) -> None:
    """Killed, it is started anew at the same address with what it had stored; and so by the next gateway."""

    async def stored(server: EmbeddedServer) -> int:
        client = await nats.connect(server.url, token=server.token)
        info = await client.jetstream().stream_info("news")
        await client.close()
        return int(info.state.messages)

    async def main() -> None:
        async with started(log, tmp_path / "data") as server:
            client = await nats.connect(server.url, token=server.token)
            await client.jetstream().add_stream(name="news", subjects=["news.>"])
            await client.jetstream().publish("news.today", b"hello")
            await client.close()
            former = server._server.pid
            os.kill(former, signal.SIGKILL)
            await restarted(log)
            assert server._server.pid != former
            assert await stored(server) == 1
            # Until it has died as well, nobody takes the folder over from a gateway that was killed.
            held = set()
            for file in listed(Path(f"/proc/{server._server.pid}/fd")):
                with suppress(FileNotFoundError):  # closed since they were listed
                    held.add(file.readlink())
            assert tmp_path / "data" / "lock" in held
        async with started(log, tmp_path / "data") as server:
            assert await stored(server) == 1

    asyncio.run(main())


def test_one_that_does_not_answer_is_killed(log: StringIO) -> None:
    """A server that is stopped, whose port still takes connections, is replaced."""

    async def main() -> None:
        async with started(log, hang=0.5) as server:
            former = server._server.pid
            os.kill(former, signal.SIGSTOP)
            await restarted(log)
            assert server._server.pid != former
            assert '"embedded_broker_hung"' in log.getvalue()

    asyncio.run(main())


def test_it_can_be_ended_at_once(log: StringIO, temporary: Path) -> None:
    """Without being asked to stop first, it is gone when the end returns, and so is its folder."""

    async def main() -> None:
        server = EmbeddedServer(None, 2_000_000, 10, make_logger(stream=log))
        await server.start()
        pid = server._server.pid
        os.kill(pid, signal.SIGSTOP)
        await server.end()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(main())
    assert listed(temporary) == []


def test_its_port_is_kept_for_it(log: StringIO) -> None:
    """While it is down nobody else gets its port by chance; one that comes up wrong is tried again."""

    async def main() -> None:
        async with started(log) as server:
            server._command[0] = "/bin/false"
            os.kill(server._server.pid, signal.SIGKILL)
            await until(lambda: '"status": 1' in log.getvalue())
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", server._port))
            assert server._reserved.getsockname() == ("127.0.0.1", server._port)
            server._command[0] = str(embedded.find_program())
            await restarted(log)

    asyncio.run(main())


def test_a_folder_of_another_gateway(log: StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that another gateway uses is refused, after a moment in which that one could have died."""
    monkeypatch.setattr(embedded, "_STOP_SECONDS", 0.1)

    async def main() -> None:
        async with started(log, tmp_path):
            with pytest.raises(EmbeddedServerError, match=f"another gateway uses the folder {tmp_path}"):
                async with started(log, tmp_path):
                    pass

    asyncio.run(main())


@pytest.mark.parametrize(
    ("program", "fact"),
    [(None, "there is no nats-server"), ("/bin/false", "no answer"), ("/bin/missing", "no answer")],
)
def test_a_server_that_cannot_be_started(
    log: StringIO, temporary: Path, monkeypatch: pytest.MonkeyPatch, program: str | None, fact: str
) -> None:
    """It is told why there is no broker, at once, and nothing stays behind."""
    monkeypatch.setattr(embedded, "find_program", lambda: program)

    async def main() -> None:
        with pytest.raises(EmbeddedServerError, match=fact):
            async with started(log):
                pass

    asyncio.run(main())
    assert listed(temporary) == []


def test_a_folder_that_cannot_be_used(log: StringIO, tmp_path: Path) -> None:
    """A file in the folder's place is told."""
    (tmp_path / "file").touch()

    async def main() -> None:
        with pytest.raises(EmbeddedServerError, match=r"cannot use the folder .*file: file exists"):
            async with started(log, tmp_path / "file"):
                pass

    asyncio.run(main())
