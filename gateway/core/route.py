"""A route at work: its policy and its handlers, resolved once from the configuration."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gateway.core.compression import RouteCompression
from gateway.core.message_log import log_messages
from gateway.core.rate import limit_rate
from gateway.core.timing import Sampler
from gateway.core.trial import Trial
from gateway.protocol.frames import frame_lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.config.models import RouteConfig
    from gateway.core.connection import Connection
    from gateway.core.dispatch import Dispatch
    from gateway.core.guard import Guard
    from gateway.core.identity import Identity
    from gateway.core.tap import Tap
    from gateway.observe.logs import Logger
    from gateway.observe.metrics import Metrics
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
        log: Where its messages are logged, if its entry says `log_messages`; `None` for nowhere.
        tap: Shows its messages; `None` unless somebody develops.
        apart: Whether its connections are the operators': the application neither sees nor reaches them.
    """

    __slots__ = (
        "_log",
        "_open",
        "_plain_message",
        "_same_for_all",
        "_stopped",
        "_templates",
        "apart",
        "authenticators",
        "close_events",
        "compression",
        "config",
        "connections",
        "dispatch",
        "event_seconds",
        "frame_lengths",
        "in_turn",
        "limits",
        "message_event",
        "name",
        "open_event",
        "opened",
        "origins",
        "spare_reader",
        "tap",
    )

    def __init__(
        self,
        config: RouteConfig,
        dispatch: Dispatch,
        origins: OriginPolicy,
        authenticators: tuple[tuple[str, Authenticator[Any]], ...],
        log: Logger | None = None,
        *,
        tap: Tap | None = None,
        apart: bool = False,
    ) -> None:
        self.config = config
        self.apart = apart
        self._log = log if config.log_messages else None
        self.tap = tap
        self.connections = 0
        """How many are open now."""
        self.opened = 0
        """How many were opened since the start."""
        self.name: str = config.name or config.path
        self.limits = config.limits
        self.compression = None if config.compression is None else RouteCompression(config.compression)
        self.dispatch = dispatch
        self.origins = origins
        self.authenticators = authenticators
        self.spare_reader: FrameReader | None = None
        """An idle reader, for the next connection that has something to read."""
        self.frame_lengths = frame_lengths(config.limits.max_message_bytes)
        self.open_event = self._open = dispatch.open
        self.message_event = self._plain_message = self._guarded(dispatch.message)
        self.close_events = dispatch.closes
        self.event_seconds = config.limits.handler_timeout_seconds
        """How long an event may take."""
        guard = dispatch.guard
        if guard is not None and guard.limits.event_timeout_seconds is not None:
            self.event_seconds = min(self.event_seconds, guard.limits.event_timeout_seconds)
        self.in_turn: Callable[..., Any] | None = None
        """What has async events wait for their turn; `None` unless too many of the plugin's are under way."""
        self._stopped: dict[Guard, None] = {}
        for each in dispatch.guards:
            each.routes.append(self)
        self._templates = tuple((text, tuple(_PLACEHOLDER.findall(text))) for text in config.groups)
        self._same_for_all = not any(names for _, names in self._templates)

    def _guarded(self, event: Callable[..., Any]) -> Callable[..., Any]:
        """Put around a message event what the route asks for; a route that asks for nothing has it plain."""
        config = self.config
        if config.limits.messages_per_second or config.limits.bytes_per_second:
            event = limit_rate(event, config.limits)
        event = _only(config.message_types, event)
        event = event if self._log is None else log_messages(event, self._log)
        return event if self.tap is None else self.tap.around(event)

    def watch(self, metrics: Metrics) -> Sampler | None:
        """Time the handlers' events from now on.

        Returns:
            What chooses the messages that are timed; `None` where no handler takes any.
        """
        dispatch = self.dispatch.timed(metrics)
        self.open_event = self._open = dispatch.open
        self.close_events = dispatch.closes
        self.dispatch.joins = dispatch.joins
        self.dispatch.leaves = dispatch.leaves
        self.dispatch.changes = dispatch.changes
        return Sampler(self, self._guarded(dispatch.message)) if dispatch.hears_messages else None

    # What the guards of its plugins ask for.

    def hold(self, guard: Guard) -> None:
        """Have async events wait for their turn from now on."""
        if self.dispatch.guard is guard:
            self.in_turn = partial(guard.in_turn, self.name)

    def let_go(self, guard: Guard) -> None:
        """Have them wait no more."""
        if self.dispatch.guard is guard:
            self.in_turn = None

    def stop(self, guard: Guard) -> None:
        """Raise no open and no message event from now on: who has one is turned away."""
        self._stopped[guard] = None
        self._choose_events()

    def go_on(self, guard: Guard) -> None:
        """Raise them again, unless another plugin is stopped."""
        self._stopped.pop(guard, None)
        self._choose_events()

    def _choose_events(self) -> None:
        self.open_event, self.message_event = self._open, self._plain_message
        if self._stopped:
            guards = tuple(self._stopped)
            dispatch = self.dispatch
            self.open_event = Trial(self._open, guards, dispatch, heard=dispatch.hears_opening)
            self.message_event = Trial(self._plain_message, guards, dispatch, heard=dispatch.hears_messages)

    @property
    def enveloped(self) -> bool:
        """Whether clients get envelopes."""
        return self.config.envelope == "json"

    def on_gap(self, *, kept: bool) -> str:
        """Tell what becomes of a member when publications may be missing: `tell`, `close` or `ignore`.

        Args:
            kept: Whether they are of a group with history.
        """
        if self.config.on_gap is not None:
            return self.config.on_gap
        if self.enveloped:
            return "tell"
        return "close" if kept else "ignore"

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
