"""Tests of what a reload can change, and of the process that judges it before."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app.embedding import wants_embedded
from gateway.app.reload import Findings, judge_in_child, takes_restart
from gateway.config import GatewayConfig

if TYPE_CHECKING:
    from pathlib import Path

TWO = {"listen": {"workers": 2}}
KEEPS = {"groups": [{"pattern": "news", "history": {}}]}
MOST = 1_048_576 + 4096


def told(former: Any, new: Any, *addressed: str) -> list[str]:
    """Give what is told of a change, where the embedded broker runs if the former configuration wants it."""
    before, after = GatewayConfig.model_validate(former), GatewayConfig.model_validate(new)
    most_bytes = MOST if wants_embedded(before) else None
    return list(takes_restart(before, after, addressed=frozenset(addressed), most_bytes=most_bytes))


@pytest.mark.parametrize(
    ("former", "new", "lines"),
    [
        ({}, {"listen": {"host": "0.0.0.0"}}, ["listen.host changes from 127.0.0.1 to 0.0.0.0"]),
        ({}, {"listen": {"unix": "x"}}, ["listen.unix changes from null to x"]),
        ({}, {"listen": {"workers": "auto"}}, ["listen.workers changes from 1 to auto"]),
        ({}, {"admin": {"port": 8001}}, ["admin.port changes from null to 8001"]),
        ({}, {"data_folder": "a", "runtime_folder": "b"}, ["data_folder", "runtime_folder"]),
        (TWO, {**TWO, "broker": {"type": "nats"}}, ["broker.type changes from memory to nats"]),
        ({}, {"broker": {"type": "nats"}}, []),
        ({}, KEEPS, []),
        ({"broker": {"type": "memory"}, **KEEPS}, KEEPS, []),
        (KEEPS, {"broker": {"type": "nats"}, **KEEPS}, ["broker.type changes from memory to nats"]),
        (KEEPS, {"broker": {"type": "memory"}, **KEEPS}, ["broker.type is memory now"]),
        (KEEPS, {}, []),
        (TWO, {**TWO, "api": {"max_body_bytes": 2_000_000}}, ["the longest message grows to 2004096 bytes"]),
        ({}, {"listen": {"drain_seconds": 1, "backlog": 9}, "routes": [{"path": "/"}]}, []),
    ],
)
def test_what_takes_a_restart_is_told(former: Any, new: Any, lines: list[str]) -> None:
    """Each change of what the supervisor holds is a line; what workers alone do is none."""
    found = told(former, new)
    assert [line.startswith(begin) for line, begin in zip(found, lines, strict=True)] == [True] * len(lines)
    assert all(line.endswith("that takes a restart") for line in found)


def test_an_address_from_options_is_not_the_files() -> None:
    """Where the command says where to listen, what the file says of it changes nothing."""
    new = {"listen": {"port": 1}, "admin": {"port": 2}}
    assert told({}, new, "listen", "admin") == []
    assert [line.split()[0] for line in told({}, new, "admin")] == ["listen.port"]


def test_a_child_judges(tmp_path: Path) -> None:
    """What would change comes with the text that was judged; secrets are not in it."""
    file = tmp_path / "gateway.yaml"
    file.write_text("api: {tokens: [{name: ops, token: hunter2}]}\n")
    found = asyncio.run(judge_in_child(str(file), "log: {level: debug}\n", 30))
    assert found.good
    assert found.text == file.read_text()
    assert "log.level changes from 'debug' to 'info'" in found.changes
    assert not any("hunter2" in line for line in found.changes)
    file.unlink()
    found = asyncio.run(judge_in_child(str(file), "", 30))
    assert not found.good
    assert "not found" in found.problems[0] or "no such file" in found.problems[0].lower()


def test_a_check_that_takes_too_long(tmp_path: Path) -> None:
    """It is ended, and told."""
    found = asyncio.run(judge_in_child(str(tmp_path / "gateway.yaml"), "", 0.01))
    assert not found.good
    assert found.problems[0].endswith("was not done within 0.01 seconds")


@pytest.mark.parametrize("line", [b"", b"null\n", b'{"good": true}\n'])
def test_what_is_no_finding(line: bytes) -> None:
    """Junk from the child is no verdict."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        Findings.from_line(line)
    good = Findings(True, ("a",), ("b",), "text")
    assert Findings.from_line(good.line()) == good
    assert json.loads(good.line())["good"] is True
