"""Tests of `gateway dev`: real processes, over changes of code and YAML."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta, timezone
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Final

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.cli.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Run = Callable[..., Awaitable[Any]]

CONFIG: Final = """
    listen: {host: 0.0.0.0, port: 0, workers: 4}
    plugins: {live: {enabled: false}}
    routes: [{path: "/say/{what}", allow_missing_origin: true, handlers: [say]}]
"""

SAY: Final = """
    import time
    import gateway

    class Say(gateway.Handler):
        def on_message(self, connection, message):
            if message == "block":
                print("it blocks", flush=True)
                time.sleep(600)
            if message == "fail":
                raise ValueError("as told")
            connection.send(message if isinstance(message, bytes) else f"one {message}")

    @gateway.hookimpl
    def gateway_handlers():
        return {"say": Say}
"""


async def served(running: Any, before: int = 0) -> str:
    """Wait until it has begun to serve once more than so often; give the URL."""
    await running.until(lambda: len(urls(running)) > before)
    return urls(running)[-1].replace("{what}", "it")


def urls(running: Any) -> list[str]:
    """Give the URL of each time that it has begun to serve."""
    return [line.split()[1] for line in running.printed if line.startswith("ws ")]


async def test_changes_are_served_and_mistakes_are_shown(
    write: Callable[[str], Path], install: Callable[..., None], run: Run, folder: Path
) -> None:
    """A changed handler answers anew; a broken one, or a broken YAML, is told of and waited for."""
    yaml = write(CONFIG)
    install("acme-say", "say", SAY)
    code = folder / "acme-say" / "say_module.py"
    running = await run("--port", "0", command="dev")
    url = await served(running)
    assert url.startswith("ws://127.0.0.1:")
    async with connect(url, proxy=None) as client:
        await client.send("hello\x1b[2J" + "x" * 300)
        assert (await client.recv()).startswith("one hello")
        await client.send(b"\x00\xff")
        assert await client.recv() == b"\x00\xff"
        await running.until(lambda: any(" out " in line and "0x00ff" in line for line in running.printed))
        shown = [line.split(" ", 1)[1] for line in running.printed if " /say/it  " in line]
        name = shown[0].split()[1]
        assert shown == [
            f"open {name} /say/it  from 127.0.0.1",
            f"in   {name} /say/it  hello\\x1b[2J{'x' * 191}… 309 characters",
            f"out  {name} /say/it  one hello\\x1b[2J{'x' * 187}… 313 characters",
            f"in   {name} /say/it  0x00ff",
            f"out  {name} /say/it  0x00ff",
        ]
        code.write_text(dedent(SAY).replace("one", "two"))
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1012
    # The socket is there all the time, so who comes meanwhile waits.
    async with connect(url, proxy=None) as client:
        await client.send("hello")
        assert await client.recv() == "two hello"
    code.write_text(dedent(SAY) + "oh no\n")
    yaml.write_text(yaml.read_text().replace("plugins:", "plugin:"))
    await running.until(lambda: running.printed[-1].startswith("does not serve; waiting"))
    said = "\n".join(running.log)
    assert "SyntaxError: invalid syntax" in said
    assert 'say_module.py", line 17' in said
    assert "gateway.yaml:4:" in said
    assert "plugin: unknown key" in said
    yaml.write_text(yaml.read_text().replace("plugin:", "plugins:"))
    before = len(urls(running))
    code.write_text(dedent(SAY).replace("one", "three"))
    assert await served(running, before) == url
    async with connect(url, proxy=None) as client:
        await client.send("hello")
        assert await client.recv() == "three hello"
        os.killpg(running.process.pid, signal.SIGINT)  # as a terminal does
        with pytest.raises(ConnectionClosed) as caught:
            await client.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
    assert await running.exit_status() == 0
    assert running.session() == []
    assert "KeyboardInterrupt" not in "\n".join(running.log)


async def test_all_lines_go_by_one_clock(
    write: Callable[[str], Path], install: Callable[..., None], run: Run
) -> None:
    """What passes and what is logged have the time of the day where the author is."""
    write(CONFIG)
    install("acme-say", "say", SAY)
    running = await run("--port", "0", command="dev", environ={"TZ": "JST-9"})
    async with connect(await served(running), proxy=None) as client:
        await client.send("fail")
        with pytest.raises(ConnectionClosed):
            await client.recv()
    await running.until(lambda: any("handler_failed" in line for line in running.log))
    (passed,) = (line for line in running.printed if " in " in line)
    (logged,) = (line for line in running.log if "handler_failed" in line)
    now = datetime.now(timezone(timedelta(hours=9)))
    for line in (passed, logged):
        told = datetime.strptime(line.split()[0], "%H:%M:%S.%f").replace(tzinfo=now.tzinfo)
        apart = (now - told).seconds  # of the day, whichever it is
        assert apart < 600 or apart > 86_400 - 600


async def test_ctrl_c_twice_ends_what_blocks(
    write: Callable[[str], Path], install: Callable[..., None], run: Run
) -> None:
    """A handler that blocks does not outlive the command; with `--quiet` no message is shown."""
    write(CONFIG)
    install("acme-say", "say", SAY)
    running = await run("--port", "0", "--quiet", command="dev")
    async with connect(await served(running), proxy=None, close_timeout=0) as client:
        await client.send("block")
        await running.until(lambda: "it blocks" in running.printed)
        running.signal(signal.SIGINT)
        await running.until(lambda: running.printed[-1].startswith("stopping; Ctrl-C once more"))
        running.signal(signal.SIGINT)
        assert await running.exit_status() == 0
    assert running.session() == []
    assert not any(" /say/it " in line for line in running.printed)


def test_code_is_watched_and_data_is_not(folder: Path) -> None:
    """Code that is changed, made or removed is told of once; a database or a cache beside it is not."""
    source = folder / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.py").write_text("1")
    (source / "b.py").write_text("1")
    config = folder / "gateway.yaml"
    sources = Sources(config)
    sources.add([str(source), str(folder / "missing.py")])
    assert sources.changed() == []
    config.write_text("routes: []")
    (source / "deep" / "a.py").write_text("22")
    (source / "b.py").unlink()
    (source / "c.py").write_text("")
    (source / "data.sqlite").write_text("1")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "a.py").write_text("")
    (folder / "missing.py").write_text("")
    names = ["gateway.yaml", "missing.py", "source/b.py", "source/c.py", "source/deep/a.py"]
    assert sources.changed() == [str(folder / name) for name in names]
    assert sources.changed() == []
