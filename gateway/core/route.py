"""A route at work: its policy and its handlers, resolved once from the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.core.compression import RouteCompression
from gateway.core.rate import limit_rate
from gateway.protocol.frames import frame_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.models import RouteConfig
    from gateway.core.connection import Connection
    from gateway.core.dispatch import Dispatch
    from gateway.core.identity import Identity
    from gateway.plugin.authenticator import Authenticator
    from gateway.protocol.frames import FrameReader
    from gateway.protocol.origin import OriginPolicy

__all__ = ["Route"]

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Route:
    """What every connection of a route shares.

    Args:
        config: The route's entry in gateway.yaml.
        dispatch: Its handlers.
        origins: Which origins may connect.
        authenticators: The ways it names, in order.
    """

    __slots__ = (
        "_same_for_all",
        "_templates",
        "authenticators",
        "close_events",
        "compression",
        "config",
        "dispatch",
        "frame_lengths",
        "limits",
        "message_event",
        "name",
        "open_event",
        "origins",
        "spare_reader",
    )

    def __init__(
        self,
        config: RouteConfig,
        dispatch: Dispatch,
        origins: OriginPolicy,
        authenticators: tuple[tuple[str, Authenticator[Any]], ...],
    ) -> None:
        self.config = config
        self.name: str = config.name or config.path
        self.limits = config.limits
        self.compression = None if config.compression is None else RouteCompression(config.compression)
        self.dispatch = dispatch
        self.origins = origins
        self.authenticators = authenticators
        self.spare_reader: FrameReader | None = None
        """An idle reader, for the next connection that has something to read."""
        self.frame_lengths = frame_lengths(config.limits.max_message_bytes)
        self.open_event = dispatch.open
        event = dispatch.message
        if config.limits.messages_per_second or config.limits.bytes_per_second:
            event = limit_rate(event, config.limits)
        self.message_event = _only(config.message_types, event)
        self.close_events = dispatch.closes
        self._templates = tuple((text, tuple(_PLACEHOLDER.findall(text))) for text in config.groups)
        self._same_for_all = not any(names for _, names in self._templates)

    def fill(self, params: Mapping[str, str]) -> str:
        """Give the path with its parameters filled in."""
        path = self.config.path
        return _PLACEHOLDER.sub(lambda match: params[match[1]], path) if params else path

    def groups(self, params: Mapping[str, str], identity: Identity | None) -> Sequence[str]:
        """Give the names of the groups that a connection joins when it opens.

        They are the route's, and then the identity's. A group whose name holds `{user}` is left out where no
        identity was proved, and so is one that is a name of the gateway's own, into which a parameter can
        turn `{room}`, as with `$everyone`.
        """
        if self._same_for_all and (identity is None or not identity.groups):
            return self.config.groups
        values = dict(params)
        if identity is not None:
            values["user"] = identity.user
        found = (
            _PLACEHOLDER.sub(lambda match: values[match[1]], text) if names else text
            for text, names in self._templates
            if all(name in values for name in names)
        )
        own = identity.groups if identity is not None else ()
        return [name for name in dict.fromkeys((*found, *own)) if not name.startswith("$")]


def _only(types: tuple[Any, ...], inner: Callable[[Connection, Any], Any]) -> Callable[..., Any]:
    """Wrap the message event for a route that takes one type of message; most take both, unwrapped."""
    if len(types) != 1:
        return inner
    wanted = str if types[0] == "text" else bytes

    def check(connection: Connection, message: str | bytes) -> Any:
        if isinstance(message, wanted):
            return inner(connection, message)
        connection.refuse_type()
        return None

    return check
