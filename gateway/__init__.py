"""A WebSocket gateway: pages update because the server pushes, handlers are plugins.

What is named here is for plugin authors; everything deeper may change from one release to the next.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gateway.broker.contract import (
        BrokerStatus,
        BrokerUnavailableError,
        History,
        HistoryPolicy,
        Kept,
        MessageTooBigError,
        Position,
        Publication,
    )
    from gateway.core.confirming import Confirmed
    from gateway.core.connection import Connection
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.opening import Credential, Opening
    from gateway.core.owned import Timer
    from gateway.core.presence import Member, NoPresenceError
    from gateway.core.request import OpeningRequest
    from gateway.core.selection import Selection
    from gateway.errors import GatewayError
    from gateway.plugin.authenticator import Authenticator
    from gateway.plugin.broker import PluginBroker
    from gateway.plugin.handler import HANDLED, Handler, Options
    from gateway.plugin.marker import hookimpl
    from gateway.protocol.refusals import Refusal, Refused

__all__ = [
    "HANDLED",
    "Authenticator",
    "BrokerStatus",
    "BrokerUnavailableError",
    "Confirmed",
    "Connection",
    "Credential",
    "GatewayError",
    "Handler",
    "History",
    "HistoryPolicy",
    "Identity",
    "Kept",
    "Member",
    "MessageTooBigError",
    "NoPresenceError",
    "Node",
    "Opening",
    "OpeningRequest",
    "Options",
    "PluginBroker",
    "Position",
    "Publication",
    "Refusal",
    "Refused",
    "Selection",
    "Timer",
    "hookimpl",
]

__version__ = "0.1.0"

# A name is imported when it is first asked for: wherever the gateway is installed, every run of pytest
# imports this module, with the plugin of `gateway.testing`, and most of them want nothing of it.
_HOMES: Final = {
    "HANDLED": "gateway.plugin.handler",
    "Authenticator": "gateway.plugin.authenticator",
    "BrokerStatus": "gateway.broker.contract",
    "BrokerUnavailableError": "gateway.broker.contract",
    "Confirmed": "gateway.core.confirming",
    "Connection": "gateway.core.connection",
    "Credential": "gateway.core.opening",
    "GatewayError": "gateway.errors",
    "Handler": "gateway.plugin.handler",
    "History": "gateway.broker.contract",
    "HistoryPolicy": "gateway.broker.contract",
    "Identity": "gateway.core.identity",
    "Kept": "gateway.broker.contract",
    "Member": "gateway.core.presence",
    "MessageTooBigError": "gateway.broker.contract",
    "NoPresenceError": "gateway.core.presence",
    "Node": "gateway.core.node",
    "Opening": "gateway.core.opening",
    "OpeningRequest": "gateway.core.request",
    "Options": "gateway.plugin.handler",
    "PluginBroker": "gateway.plugin.broker",
    "Position": "gateway.broker.contract",
    "Publication": "gateway.broker.contract",
    "Refusal": "gateway.protocol.refusals",
    "Refused": "gateway.protocol.refusals",
    "Selection": "gateway.core.selection",
    "Timer": "gateway.core.owned",
    "hookimpl": "gateway.plugin.marker",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
