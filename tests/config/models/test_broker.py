from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.config import (
    GatewayConfig,
    MemoryBrokerConfig,
    NatsBrokerConfig,
    PluginBrokerConfig,
    ValkeyBrokerConfig,
)
from gateway.config.models.broker import BUILT_IN_BROKERS, AnyBrokerConfig

BROKER: TypeAdapter[Any] = TypeAdapter(AnyBrokerConfig)


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({}, MemoryBrokerConfig),
        ({"type": "memory"}, MemoryBrokerConfig),
        ({"type": "nats"}, NatsBrokerConfig),
        ({"type": "valkey"}, ValkeyBrokerConfig),
        ({"type": "redis"}, ValkeyBrokerConfig),
        ({"type": "kafka", "topic": "x"}, PluginBrokerConfig),
        (MemoryBrokerConfig(), MemoryBrokerConfig),
        (NatsBrokerConfig(type="nats"), NatsBrokerConfig),
    ],
)
def test_type_says_which_it_is(given: Any, model: type) -> None:
    """A model that was made already stays as it is."""
    assert type(BROKER.validate_python(given)) is model
    assert type(GatewayConfig.model_validate({"broker": given}).broker) is model


def test_defaults_of_nats() -> None:
    """The type alone is enough for a server on this machine."""
    config = NatsBrokerConfig(type="nats").model_dump()
    assert {key: value for key, value in config.items() if key not in {"password", "token"}} == {
        "type": "nats",
        "urls": ("nats://127.0.0.1:4222",),
        "prefix": "gateway",
        "required": False,
        "when_down": "local",
        "user": "",
        "tls": None,
        "max_message_bytes": 1_048_576,
        "send_buffer_bytes": 8_388_608,
        "connect_timeout_seconds": 2,
        "probe_interval_seconds": 2,
        "probe_timeout_seconds": 4,
        "idempotency_seconds": 120,
        "credentials_file": None,
        "nkey_file": None,
        "tls_first": False,
        "history_storage": "file",
        "history_replicas": 1,
    }


@pytest.mark.parametrize("kind", ["memory", "nats", "valkey"])
def test_keys_are_known_for_two_minutes(kind: str) -> None:
    """Wherever history is kept, and for a day at most."""
    assert BROKER.validate_python({"type": kind}).idempotency_seconds == 120
    assert BROKER.validate_python({"type": kind, "idempotency_seconds": 86_400}).idempotency_seconds == 86_400
    for wrong in (0.5, 86_401):
        with pytest.raises(ValidationError):
            BROKER.validate_python({"type": kind, "idempotency_seconds": wrong})


@pytest.mark.parametrize(
    "wrong", [{"history_storage": "tape"}, {"history_replicas": 0}, {"history_replicas": 6}]
)
def test_where_nats_keeps_history(wrong: dict[str, Any]) -> None:
    """JetStream has two kinds of storage, and at most five copies."""
    right = {"type": "nats", "history_storage": "memory", "history_replicas": 5}
    assert BROKER.validate_python(right).history_replicas == 5
    with pytest.raises(ValidationError):
        BROKER.validate_python({**right, **wrong})


def test_credentials_from_the_environment_may_be_unset() -> None:
    """`${NAME:-}` without quotes reads as null, and means none."""
    empty = {"type": "nats", "user": None, "password": None, "token": None}
    config = BROKER.validate_python(empty)
    assert config.given() == frozenset()
    assert BROKER.validate_python({**empty, "token": "x"}).given() == {"token"}


def test_valkey_takes_a_password_alone() -> None:
    """It is that of the default user there."""
    assert BROKER.validate_python({"type": "valkey", "password": "x"}).given() == {"password"}


@pytest.mark.parametrize(
    ("settings", "secure"),
    [
        ({}, False),
        ({"urls": ["nats://a", "nats://b:1"]}, False),
        ({"urls": ["nats://a", "tls://b"]}, True),
        ({"tls": {}}, True),
        ({"tls_first": True}, True),
    ],
)
def test_when_tls_is_asked_for(settings: dict[str, Any], secure: bool) -> None:
    """By any of the ways to say so; then it holds for every server."""
    assert NatsBrokerConfig.model_validate({"type": "nats", **settings}).secure is secure


def test_paths_are_from_the_folder_of_the_file() -> None:
    """Those that are not absolute."""
    config = NatsBrokerConfig.model_validate(
        {
            "type": "nats",
            "nkey_file": "seed.nk",
            "tls": {"ca": "ca.pem", "certificate": "/c.pem", "key": "k.pem"},
        },
        context={"folder": Path("/etc/gateway")},
    )
    assert config.nkey_file == Path("/etc/gateway/seed.nk")
    assert config.tls is not None
    assert [config.tls.ca, config.tls.certificate, config.tls.key] == [
        Path("/etc/gateway/ca.pem"),
        Path("/c.pem"),
        Path("/etc/gateway/k.pem"),
    ]


def test_nothing_secret_in_repr() -> None:
    """Credentials, and whatever a plugin's broker takes, stay out of a printed configuration."""
    nats = {"type": "nats", "user": "u", "password": "hush1"}
    plugin = {"type": "kafka", "password": "hush2"}
    assert "hush" not in repr([BROKER.validate_python(given) for given in (nats, plugin)])


def test_settings_of_a_plugins_broker_are_kept() -> None:
    """They are judged by its own model later."""
    assert BROKER.validate_python({"type": "kafka", "topic": "x"}).model_extra == {"topic": "x"}


@pytest.mark.parametrize("name", sorted(BUILT_IN_BROKERS))
def test_no_built_in_broker_is_taken_for_a_plugins(name: str) -> None:
    """A key that it does not know is an error, not a setting of somebody else's."""
    with pytest.raises(ValidationError, match="extra_forbidden"):
        BROKER.validate_python({"type": name, "topic": "x"})
