"""The embedded broker, where a gateway needs one and names none: when there is one, and how it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from gateway.app.cores import count_workers
from gateway.app.kept import kept_between
from gateway.broker.embedded import EmbeddedServer, EmbeddedServerError, find_program
from gateway.config import Severity
from gateway.config.models import MemoryBrokerConfig, NatsBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import GatewayConfig, Loaded, Problem
    from gateway.observe.logs import Logger

__all__ = [
    "Embedding",
    "can_be_embedded",
    "can_do_without",
    "longest_message",
    "missing_broker",
    "wants_embedded",
    "with_embedded",
]

_LEAST_MESSAGE_BYTES: Final = 1_048_576
_MOST_MESSAGE_BYTES: Final = 67_108_864
_ENVELOPE_BYTES: Final = 4096
_NAMED: Final = "broker.type is memory"
_MISSING: Final = "there is no nats-server to start"


def can_be_embedded(config: GatewayConfig) -> bool:
    """Tell whether the workers may use a broker of their own: several may not have one memory each."""
    if config.broker.type != "memory":
        return False
    return count_workers(config.listen.workers) > 1 or not _names_memory(config)


def wants_embedded(config: GatewayConfig) -> bool:
    """Tell whether the workers get a broker of their own.

    One worker gets it where a reload would else forget something: it serves beside its successor for a while.
    """
    several = count_workers(config.listen.workers) > 1
    return can_be_embedded(config) and (several or any(kept_between(config)))


def _names_memory(config: GatewayConfig) -> bool:
    return config.broker.type == "memory" and "type" in config.broker.model_fields_set


def can_do_without(config: GatewayConfig) -> bool:
    """Tell whether a gateway serves where there is no nats-server."""
    return not wants_embedded(config) or count_workers(config.listen.workers) == 1


def missing_broker(loaded: Loaded) -> Iterator[Problem]:
    """Find several workers that nothing could connect, and what one worker would forget at a reload."""
    config = loaded.config
    there = find_program() is not None
    if count_workers(config.listen.workers) > 1:
        if wants_embedded(config) and not there:
            yield loaded.problem(
                ("listen", "workers"),
                "several workers need a broker, and there is no nats-server to start: install "
                "gateway-ws[workers], or set broker.type",
            )
    elif _names_memory(config) and (what := _forgotten(config)):
        yield loaded.problem(
            ("broker", "type"),
            f"a reload forgets what the broker memory keeps: {', '.join(what)}",
            severity=Severity.WARNING,
            advice="leave broker out, and a broker of its own keeps it",
        )
    elif wants_embedded(config) and not there:
        (place, _), *_ = kept_between(config)
        yield loaded.problem(
            place,
            f"a reload forgets {', '.join(_forgotten(config))}, since {_MISSING}",
            severity=Severity.WARNING,
            advice="install gateway-ws[workers], or set broker.type",
        )


def _forgotten(config: GatewayConfig) -> list[str]:
    return list(dict.fromkeys(what for _, what in kept_between(config)))


class Embedding:
    """The embedded broker of a gateway: started once it is wanted, and kept until the gateway's end."""

    def __init__(self) -> None:
        self._begun: EmbeddedServer | None = None
        self.server: EmbeddedServer | None = None
        """It, once it has started; else `None`."""

    async def provide(self, config: GatewayConfig, log: Logger) -> None:
        """Start it, if the configuration wants it and it does not run yet.

        Where one worker wants it and it cannot be had, or is declined, a line of the log says what a reload
        will forget.

        Raises:
            EmbeddedServerError: If it cannot be started, and there are several workers, or a data folder and
                a nats-server.
        """
        if self.server is not None:
            return
        if not wants_embedded(config):
            if _names_memory(config):
                _warn(log, config, _NAMED)
            return
        hang_seconds = config.listen.worker_hang_seconds
        server = EmbeddedServer(config.data_folder, longest_message(config), hang_seconds, log)
        self._begun = server
        try:
            await server.start()
        except EmbeddedServerError as error:
            self._begun = None
            await server.end()
            # A folder that was asked for, and cannot be had, is no case for doing without.
            if not can_do_without(config) or (config.data_folder is not None and find_program() is not None):
                raise
            _warn(log, config, error.fact)
        else:
            self.server = server

    async def stop(self) -> None:
        """Have it write what it has, and end it; wait for its end."""
        if self._begun is not None:
            await self._begun.stop()

    async def end(self) -> None:
        """End it at once, if it has not ended yet, or has not even started."""
        if self._begun is not None:
            await self._begun.end()


def _warn(log: Logger, config: GatewayConfig, reason: str) -> None:
    if what := _forgotten(config):
        log.warning("reload_forgets", what=what, reason=reason)


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
    assert isinstance(config.broker, MemoryBrokerConfig)  # noqa: S101 - else there is none
    broker = NatsBrokerConfig(
        type="nats",
        urls=(url,),
        token=SecretStr(token),
        max_message_bytes=max_message_bytes,
        idempotency_seconds=config.broker.idempotency_seconds,
    )
    return config.model_copy(update={"broker": broker})
