"""Tests of when several workers get a broker of their own, and how they reach it."""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from gateway.app import embedding
from gateway.app.embedding import make_embedded, with_embedded
from gateway.app.prepare import prepare
from gateway.config import ConfigError, GatewayConfig
from gateway.observe.logs import make_logger

if TYPE_CHECKING:
    from pathlib import Path


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
    embedded = make_embedded(config, make_logger(stream=StringIO()))
    assert embedded is not None
    embedded._reserved.close()
    assert embedded.max_message_bytes == limit
    broker: Any = with_embedded(config, embedded.url, embedded.token, embedded.max_message_bytes).broker
    assert (broker.urls, broker.max_message_bytes) == ((embedded.url,), limit)
    assert broker.token.get_secret_value() == embedded.token
    assert embedded.token not in repr(broker)


def test_another_broker_is_used() -> None:
    """Where the configuration names a broker, none is embedded."""
    config = GatewayConfig.model_validate({"broker": {"type": "nats"}})
    assert make_embedded(config, make_logger(stream=StringIO())) is None
