"""Tests of a gateway that listens on a unix-domain socket."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from collections import Counter
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING

from websockets.asyncio.client import unix_connect

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from typing import Any

# Tells who serves, and whom.
SOURCE = """
    import os

    import gateway

    class Who(gateway.Handler):
        def on_open(self, connection):
            connection.send_json([os.getpid(), connection.remote])

    @gateway.hookimpl
    def gateway_handlers():
        return {"who": Who}
"""

YAML = """
    plugins: {{live: {{enabled: false}}}}
    listen: {{unix: gateway.sock, drain_seconds: 0, {more}}}
    routes:
      - {{path: /who, allow_missing_origin: true, handlers: [who]}}
"""


async def test_all_workers_serve_it(
    folder: Path,
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
    install: Callable[[str, str, str], None],
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Both of two workers accept from the socket, whose file has its mode and is gone in the end.

    They have one socket and one queue, unlike those of a TCP port: the system wakes both, and who runs first
    takes what is there. So clients are spread by who has time, and nobody promises halves: of 400, six runs
    beside a load of 5 gave the lesser worker 157 to 198. A quarter shows that neither is starved.
    """
    install("who-plugin", "who", SOURCE)
    write(YAML.format(more='unix_mode: "0600", workers: 2'))
    path = folder / "gateway.sock"
    running = await run()
    assert await running.printed_lines(2) == [f"unix  {path.name}", "ws    /who"]
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    counts: Counter[int] = Counter()
    for _ in range(20):
        async with AsyncExitStack() as stack:
            connects = [unix_connect(str(path), uri="ws://localhost/who") for _ in range(20)]
            clients = await asyncio.gather(*map(stack.enter_async_context, connects))
            told = [json.loads(await client.recv()) for client in clients]
        assert {remote for _, remote in told} == {"unix"}
        counts.update(pid for pid, _ in told)
    assert counts.total() == 400
    assert len(counts) == 2
    assert min(counts.values()) >= 100, counts

    second = await asyncio.to_thread(command, "run")
    assert second.returncode == 1
    assert second.stderr == f"cannot listen on unix:{path.name}: address already in use\n"
    running.signal(signal.SIGTERM)
    assert await running.exit_status() == 0
    assert running.session() == []
    assert not path.exists()


async def test_one_worker_serves_it(
    folder: Path,
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
    install: Callable[[str, str, str], None],
) -> None:
    """A single process does too, in place of a file that a killed one left, and hears a proxy on it."""
    install("who-plugin", "who", SOURCE)
    write(YAML.format(more="trusted_proxies: [unix]"))
    path = folder / "gateway.sock"
    running = await run("--in-process")
    await running.printed_lines(2)
    running.signal(signal.SIGKILL)
    await running.exit_status()
    assert path.exists()

    running = await run()
    await running.printed_lines(2)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o660
    assert (await running.logged("started"))["unix"] == path.name
    headers = {"X-Forwarded-For": "192.0.2.7"}
    async with unix_connect(str(path), uri="ws://localhost/who", additional_headers=headers) as client:
        worker = (await running.logged("worker_started"))["pid"]
        assert json.loads(await client.recv()) == [worker, "192.0.2.7"]
    reader, writer = await asyncio.open_unix_connection(str(path))
    with closing(writer):
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    running.signal(signal.SIGTERM)
    assert await running.exit_status() == 0
    assert not path.exists()
