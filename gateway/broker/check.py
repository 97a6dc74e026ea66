"""Checks of what the settings of a broker refer to, for `gateway check`: files, and the broker itself."""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import TYPE_CHECKING

from gateway.broker.link import FileFaultError, LinkError
from gateway.broker.tls import show_certificate, trusting_context
from gateway.config import (
    LinkedBrokerConfig,
    NatsBrokerConfig,
    Severity,
    ValkeyBrokerConfig,
    check_authorities,
    check_end,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.broker.link import Link, Place
    from gateway.config import Loaded, Path, Problem

__all__ = ["check_broker", "check_broker_files"]


def check_broker_files(loaded: Loaded) -> Iterator[Problem]:
    """Read every file that the settings of the broker name; give those that cannot be used."""
    config = loaded.config.broker
    if isinstance(config, LinkedBrokerConfig):
        for read in _readings(config):
            try:
                read()
            except FileFaultError as fault:
                yield loaded.problem(("broker", *fault.key), fault.file_fact)
        if config.tls is not None:
            yield from check_authorities(loaded, ("broker", "tls", "ca"), config.tls.ca)
        if config.tls is not None and config.tls.certificate is not None:
            yield from check_end(loaded, ("broker", "tls", "certificate"), config.tls.certificate)


def _readings(config: LinkedBrokerConfig) -> Iterator[Callable[[], object]]:
    if config.tls is not None:
        yield partial(trusting_context, config.tls)
        yield partial(show_certificate, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), config.tls)
    if isinstance(config, NatsBrokerConfig):
        # An engine's client takes a tenth of a second to import: a check without it does without.
        from gateway.broker.nats.credentials import read_credentials, read_seed  # noqa: PLC0415 - as said above

        if config.credentials_file is not None:
            yield partial(read_credentials, config.credentials_file)
        if config.nkey_file is not None:
            yield partial(read_seed, config.nkey_file)


async def check_broker(loaded: Loaded) -> list[Problem]:
    """Connect to every server of the broker and log in; give those where that fails."""
    config = loaded.config.broker
    if not isinstance(config, LinkedBrokerConfig):
        return []
    troubles = await asyncio.gather(*(_trouble(config, url) for url in config.urls))
    # Whichever answers is enough for a node.
    severity = Severity.WARNING if None in troubles else Severity.ERROR
    place: Path = ("broker", "urls")
    return [
        loaded.problem((*place, index), f"broker cannot be reached: {trouble}", severity=severity)
        for index, trouble in enumerate(troubles)
        if trouble is not None
    ]


async def _trouble(config: LinkedBrokerConfig, url: str) -> str | None:
    link = _link(config, url)
    if link is None:
        return None
    try:
        async with asyncio.timeout(config.connect_timeout_seconds):
            await link.open()
    except FileFaultError:
        return None  # which is told where the files are
    except LinkError as exc:
        return exc.fact
    except TimeoutError:
        return f"no connection within {config.connect_timeout_seconds:g} seconds"
    except Exception as exc:  # noqa: BLE001 - whatever an engine's library raises
        text = " ".join(str(exc).split())
        return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
    finally:
        link.abort()
    return None


def _link(config: LinkedBrokerConfig, url: str) -> Link | None:
    if isinstance(config, NatsBrokerConfig):
        from gateway.broker.nats.link import NatsLink  # noqa: PLC0415 - as in `_readings`

        return NatsLink(config, url, "gateway check", _drop)
    if isinstance(config, ValkeyBrokerConfig):
        from gateway.broker.valkey.link import ValkeyLink  # noqa: PLC0415 - as in `_readings`

        return ValkeyLink(config, url, _drop)
    return None


def _drop(channel: str, data: bytes, place: Place | None = None, /) -> None:
    del channel, data, place
