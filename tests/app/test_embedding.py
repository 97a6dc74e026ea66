"""Tests of when several workers get a broker of their own, and how they reach it."""

from __future__ import annotations

import asyncio
import json
import os
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import embedding
from gateway.app.embedding import Embedding, longest_message, wants_embedded, with_embedded
from gateway.app.prepare import prepare
from gateway.broker.data_folder import DataFolder
from gateway.broker.embedded import EmbeddedServerError
from gateway.config import ConfigError, GatewayConfig, Severity
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from pathlib import Path

HISTORY: Any = {"groups": [{"pattern": "news", "history": {}}]}


@pytest.mark.parametrize("workers", ["2", "auto"])
def test_workers_without_a_broker_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    """Where there is no nats-server, several workers need another broker, and the file's line is told."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(embedding, "find_program", lambda: None)
    file = tmp_path / "gateway.yaml"
    file.write_text(f"listen:\n  workers: {workers}\n")
    with pytest.raises(ConfigError) as caught:
        prepare(file)
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"{file}:2:12: listen.workers: several workers need a broker")
    file.write_text(f"listen:\n  workers: {workers}\nbroker: {{type: nats}}\n")
    assert prepare(file).config.broker.type == "nats"
    file.write_text("listen:\n  workers: 1\n")
    assert prepare(file).config.broker.type == "memory"


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({}, 1_048_576 + 4096),
        ({"api": {"max_body_bytes": 3_000_000}}, 3_000_000 + 4096),
        ({"routes": [{"path": "/", "limits": {"max_message_bytes": 5_000_000}}]}, 5_000_000 + 4096),
        ({"routes": [{"path": "/", "limits": {"max_message_bytes": 67_108_864}}]}, 67_108_864),
    ],
)
def test_the_longest_message_passes(given: Any, limit: int) -> None:
    """What a client or the API may send fits, as far as a NATS server can be asked for."""
    config = GatewayConfig.model_validate({"listen": {"workers": 2}, **given})
    assert longest_message(config) == limit
    broker: Any = with_embedded(config, "nats://127.0.0.1:1", "a-token", limit).broker
    assert (broker.urls, broker.max_message_bytes) == (("nats://127.0.0.1:1",), limit)
    assert broker.token.get_secret_value() == "a-token"
    assert "a-token" not in repr(broker)


def test_what_is_set_of_the_broker_holds() -> None:
    """For how long an idempotency key is known is the configuration's to say, whichever broker it becomes."""
    given = {"listen": {"workers": 2}, "broker": {"type": "memory", "idempotency_seconds": 7}}
    broker: Any = with_embedded(GatewayConfig.model_validate(given), "nats://127.0.0.1:1", "x", 2**20).broker
    assert broker.idempotency_seconds == 7


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, False),
        (HISTORY, True),
        ({"groups": [{"pattern": "*", "presence": True}]}, True),
        ({"authentication": {"ticket": {"secret": "s" * 32, "authenticate": ["token"]}}}, True),
        ({**HISTORY, "broker": {"type": "memory"}}, False),
        ({**HISTORY, "broker": {"type": "nats"}}, False),
        ({"listen": {"workers": 2}}, True),
        ({"listen": {"workers": 2}, "broker": {"type": "memory"}}, True),
        ({"listen": {"workers": 2}, "broker": {"type": "nats"}}, False),
    ],
)
def test_when_there_is_one(given: Any, wanted: bool) -> None:
    """Several workers need one; one worker does where something is kept that a reload must not forget."""
    assert wants_embedded(GatewayConfig.model_validate(given)) is wanted


@pytest.mark.parametrize("broker", ["broker: {type: memory}", ""])
def test_what_a_reload_forgets_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broker: str) -> None:
    """With one worker, the memory broker by word or for want of another is a warning of what is lost."""
    file = tmp_path / "gateway.yaml"
    file.write_text(f"groups: [{{pattern: news, history: {{}}, presence: true}}]\n{broker}\n")
    if not broker:
        assert prepare(file).warnings == ()
        monkeypatch.setattr(embedding, "find_program", lambda: None)
    (problem,) = prepare(file).warnings
    assert problem.severity is Severity.WARNING
    where = "2:16: broker.type" if broker else "1:35: groups[0].history"
    assert str(problem).startswith(f"{file}:{where}: warning: a reload forgets")
    assert "history, presence" in problem.message
    file.write_text(f"groups: [{{pattern: news}}]\n{broker}\n")
    assert prepare(file).warnings == ()


async def test_one_worker_serves_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no nats-server one worker serves, and the log says what a reload forgets."""
    monkeypatch.setattr("gateway.broker.embedded.find_program", lambda: None)
    stream = StringIO()
    served = Embedding()
    await served.provide(GatewayConfig.model_validate(HISTORY), make_logger(stream=stream))
    assert served.server is None
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["what"]) == ("reload_forgets", "warning", ["history"])
    assert "no nats-server" in line["reason"]
    await served.stop()
    await served.end()


async def test_several_workers_do_not_serve_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no nats-server several workers do not start, whatever they keep."""
    monkeypatch.setattr("gateway.broker.embedded.find_program", lambda: None)
    config = GatewayConfig.model_validate({"listen": {"workers": 2}})
    with pytest.raises(EmbeddedServerError, match="no nats-server"):
        await Embedding().provide(config, make_logger(stream=StringIO()))


async def test_a_folder_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker does not start without the folder that is to hold what it keeps."""
    monkeypatch.setattr("gateway.broker.embedded._STOP_SECONDS", 0.0)
    config = GatewayConfig.model_validate({**HISTORY, "data_folder": tmp_path})
    others = DataFolder(tmp_path)
    try:
        with pytest.raises(EmbeddedServerError, match="another gateway uses the folder"):
            await Embedding().provide(config, make_logger(stream=StringIO()))
    finally:
        others.close()


def test_it_is_started_once_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that first asks for something to be kept starts it, and it stays the same from then on."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    keeps = GatewayConfig.model_validate(HISTORY)

    async def main() -> None:
        log = make_logger(stream=StringIO())
        served = Embedding()
        try:
            await served.provide(GatewayConfig(), log)
            assert served.server is None
            await served.provide(keeps, log)
            first = served.server
            assert first is not None
            await served.provide(GatewayConfig(), log)
            await served.provide(keeps, log)
            assert served.server is first
        finally:
            await served.stop()
            await served.end()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []
