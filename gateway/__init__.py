"""A WebSocket gateway: pages update because the server pushes, handlers are plugins.

What is named here is for plugin authors; everything deeper may change from one release to the next.
"""

from __future__ import annotations

from gateway.broker.contract import (
    BrokerStatus,
    BrokerUnavailableError,
    MessageTooBigError,
    Publication,
)
from gateway.core.connection import Connection
from gateway.core.identity import Identity
from gateway.core.node import Node
from gateway.core.opening import Credential, Opening
from gateway.core.owned import Timer
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
    "Connection",
    "Credential",
    "GatewayError",
    "Handler",
    "Identity",
    "MessageTooBigError",
    "Node",
    "Opening",
    "OpeningRequest",
    "Options",
    "PluginBroker",
    "Publication",
    "Refusal",
    "Refused",
    "Selection",
    "Timer",
    "hookimpl",
]

__version__ = "0.1.0"
