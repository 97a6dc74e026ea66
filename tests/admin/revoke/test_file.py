"""Tests of `revocation: file`: revocations hold over a restart."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


GOOD = {"opening": 101, "ticket": 201, "api": 200, "refresh": 200}
REFUSED = {"opening": 401, "ticket": 401, "api": 401, "refresh": 401}


class TestFile:
    """With `revocation: file` a revocation holds over a restart."""

    async def test_over_a_restart(
        self, tmp_path: Path, start: Callable[..., Any], issue: Callable[..., str], until: Callable[..., Any]
    ) -> None:
        """A gateway that starts with the file refuses what the one before it has revoked."""
        text = "revocation: {file: kept/revocations, seconds: 60}\n"
        (tmp_path / "kept").mkdir()
        file = tmp_path / "kept" / "revocations"
        now = int(time.time())
        old, new, token = issue(iat=now - 50), issue(iat=now - 10), issue("bob", jti="t-1")
        async with start(text) as client:
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            await client.revoke(user="ann", issued_before=now - 20)
            await client.revoke(jti="t-1")
            await client.revoke(jti="t-2", expires_at=time.time() - 4.9)
            assert file.read_bytes().count(b"\n") == 3
            await until(lambda: len(list(client.server.node.revocations)) == 2)
        async with start(text) as client:
            assert await client.judged(old) == REFUSED
            assert (await client.judged(token))["opening"] == 401
            assert await client.judged(new) == GOOD
            await client.revoke(user="ann", issued_before=now - 5)
        file.write_bytes(file.read_bytes() + b'{"token_id": "hal')
        async with start(text) as client:
            assert await client.judged(new) == REFUSED
            assert len(client.server.node.revocations) == 2
            assert file.read_bytes().count(b"\n") == 2
        async with start() as client:
            assert await client.judged(old) == GOOD

    async def test_the_answer_waits_for_the_disk(
        self, tmp_path: Path, start: Callable[..., Any], issue: Callable[..., str]
    ) -> None:
        """Where the file cannot be written the answer is 500; the revocation holds in this process."""
        text = "revocation: {file: kept/revocations}\n"
        (tmp_path / "kept").mkdir()
        async with start(text) as client:
            (tmp_path / "kept" / "revocations").unlink()
            (tmp_path / "kept").rmdir()
            status, answer = await client.post("/api/revoke", {"jti": "t-1"})
            assert (status, answer["error"]) == (500, "internal_error")
            assert str(tmp_path) not in json.dumps(answer)
            assert (await client.judged(issue(jti="t-1")))["opening"] == 401
            (line,) = [line for line in client.server.log if line["event"] == "http_failed"]
            assert "No such file" in line["exception"]

    async def test_processes_that_start_meanwhile(
        self,
        tmp_path: Path,
        start: Callable[..., Any],
        monkeypatch: pytest.MonkeyPatch,
        issue: Callable[..., str],
    ) -> None:
        """Nodes are told at once, and again when the file has it: who reads it in between hears of it."""
        text = "revocation: {file: revocations}\n"
        async with start(text) as client:
            told: list[int] = []
            notify = client.server.node.broker.notify

            def note(note: Any) -> int:
                told.append((tmp_path / "revocations").read_bytes().count(b"\n"))
                return notify(note)

            monkeypatch.setattr(client.server.node.broker, "notify", note)
            async with client.open(issue(jti="t-1")):
                assert await client.revoke(jti="t-1") == 1
            assert told == [0, 1]

    async def test_several_at_once(self, tmp_path: Path, start: Callable[..., Any]) -> None:
        """Calls that come together are all kept, each on a line of its own."""
        text = "revocation: {file: revocations}\n"
        async with start(text) as client:
            await asyncio.gather(*(client.revoke(jti=f"t-{number}") for number in range(40)))
        lines = (tmp_path / "revocations").read_text(encoding="utf-8").splitlines()
        assert {json.loads(line)["token_id"] for line in lines} == {f"t-{number}" for number in range(40)}
