"""A pytest plugin for plugin authors: a real gateway on a free port, in the test's own event loop.

It is found by pytest through its entry point, so importing it has to cost little: what needs the gateway is
imported when a test first asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from gateway.testing.fixtures import (
    check_handler,
    gateway_client,
    gateway_clock,
    gateway_published,
    serve_gateway,
)

if TYPE_CHECKING:
    from gateway.testing.checking import ConversationsError, check
    from gateway.testing.client import Client, Closed, NotHeardError
    from gateway.testing.clock import TestClock
    from gateway.testing.published import Published, Record
    from gateway.testing.served import Served, serve

__all__ = [
    "Client",
    "Closed",
    "ConversationsError",
    "NotHeardError",
    "Published",
    "Record",
    "Served",
    "TestClock",
    "check",
    "check_handler",
    "gateway_client",
    "gateway_clock",
    "gateway_published",
    "serve",
    "serve_gateway",
]

_HOMES: Final = {
    "Client": "client",
    "Closed": "client",
    "NotHeardError": "client",
    "Published": "published",
    "Record": "published",
    "ConversationsError": "checking",
    "Served": "served",
    "TestClock": "clock",
    "check": "checking",
    "serve": "served",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
