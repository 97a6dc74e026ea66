"""Checks of the files to which the settings of a broker refer, for `gateway check`."""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING

from gateway.broker.link import FileFaultError
from gateway.broker.nats.credentials import read_credentials, read_seed
from gateway.broker.tls import show_certificate, trusting_context
from gateway.config import LinkedBrokerConfig, NatsBrokerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.config import Loaded, Problem

__all__ = ["check_broker_files"]


def check_broker_files(loaded: Loaded) -> Iterator[Problem]:
    """Read every file that the settings of the broker name; give those that cannot be used."""
    config = loaded.config.broker
    if isinstance(config, LinkedBrokerConfig):
        for read in _readings(config):
            try:
                read()
            except FileFaultError as fault:
                yield loaded.problem(("broker", *fault.key), fault.file_fact)


def _readings(config: LinkedBrokerConfig) -> Iterator[Callable[[], object]]:
    if config.tls is not None:
        yield partial(trusting_context, config.tls)
        yield partial(show_certificate, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), config.tls)
    if isinstance(config, NatsBrokerConfig):
        if config.credentials_file is not None:
            yield partial(read_credentials, config.credentials_file)
        if config.nkey_file is not None:
            yield partial(read_seed, config.nkey_file)
