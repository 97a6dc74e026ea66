"""`/admin/live`: what every node counts, pushed once a second to operators who look."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Literal

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError, Publication
from gateway.config.models import Overflow, RouteConfig
from gateway.core.dispatch import Dispatch
from gateway.core.groups import ADMIN
from gateway.core.identity import Identity
from gateway.core.note_form import NodeName, NoteForm
from gateway.core.route import Route
from gateway.observe.families import FAMILIES
from gateway.observe.gathered import to_plain
from gateway.plugin.authenticator import Authenticator
from gateway.plugin.handler import Handler, Options
from gateway.protocol.origin import OriginPolicy
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.admin.access import ApiAccess
    from gateway.admin.nodes import About
    from gateway.broker.contract import Note
    from gateway.core.connection import Connection
    from gateway.core.node import Node
    from gateway.core.opening import Opening
    from gateway.core.owned import Timer
    from gateway.observe.gathered import Figures

__all__ = ["PATH", "Feed", "live_route"]

PATH: Final = "/admin/live"
SUBPROTOCOL: Final = "gateway.live"

_SECONDS: Final = 1.0
_BEATS_TO_WATCH: Final = 2
_WATCHED_SECONDS: Final = 5.0
_MOST_CONNECTIONS: Final = 50


class _Watch(NoteForm, strict=True):
    """A node's word that somebody looks."""

    order: Literal["watch"]
    node: NodeName


class Feed:
    """What tells operators on whichever node what this one has counted.

    Nodes with operators say every two seconds that somebody looks; a node that has heard it in the last five
    publishes its figures each second to a group of the gateway's own. Where nobody looks nothing is done.

    Args:
        node: The node.
        about: What it says of itself.
        read: Gives its figures; `None` where nothing is counted.
    """

    def __init__(self, node: Node, about: About, read: Callable[[], Figures] | None) -> None:
        self._node = node
        self._about = about
        self._read = read
        self._watched_until = 0.0
        self._beats = 0
        self._timer: Timer | None = None

    def start(self) -> None:
        """Listen from now on whether somebody looks."""
        self._node.note_takers["watch"] = self.take

    def stop(self) -> None:
        """Say that the node ends, if somebody looks."""
        if self._timer is not None:
            self._timer.cancel()
            self._publish(json.dumps({"type": "gone", "node": self._node.name}))

    def add(self, connection: Connection) -> None:
        """Push to an operator from now on."""
        session = connection.identity
        assert session is not None  # noqa: S101 - the route has a way
        families = {
            family.name: {
                "kind": family.kind.value,
                "text": family.text,
                "labels": [name for name in family.labels if name != "worker"],
                "bounds": family.bounds,
            }
            for family in FAMILIES.values()
        }
        connection.send_json({"type": "families", "families": families, "session": dict(session.claims)})
        self._node.hub.join(connection, ADMIN)
        # What this node has, at once, and not to those who have it.
        connection.send(self._figures())
        self._watch()

    def _watch(self) -> None:
        """Tell all nodes, this one too, that somebody looks."""
        with suppress(BrokerUnavailableError, MessageTooBigError):
            self._node.broker.notify({"order": "watch", "node": self._node.name})

    def take(self, note: Note) -> int:
        """Take the word that somebody looks.

        Raises:
            ValueError: If it is none.
        """
        node = _Watch.read(note, "a note of watching").node
        self._watched_until = self._node.loop.time() + _WATCHED_SECONDS
        if self._timer is None:
            self._timer = self._node.every(_SECONDS, self._tick)
            if node != self._node.name:
                self._say_figures()
        return 0

    def _tick(self) -> None:
        self._beats += 1
        if self._node.hub.members(ADMIN) and self._beats % _BEATS_TO_WATCH == 0:
            self._watch()
        if self._node.loop.time() < self._watched_until:
            self._say_figures()
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _say_figures(self) -> None:
        self._publish(self._figures())

    def _figures(self) -> str:
        figures: dict[str, Any] = {}
        if self._read is not None:
            for name, values in to_plain(self._read()).items():
                found = [each for each in values if _is_more_than_nothing(each[1])]
                if found:
                    figures[name] = found
        told = {"type": "figures", **self._about.read(), "at": self._node.now(), "figures": figures}
        return json.dumps(told, separators=(",", ":"), allow_nan=False)

    def _publish(self, text: str) -> None:
        # The newest of each node stands for the others where an operator's line is slow.
        publication = Publication(ADMIN, text, None, self._node.name)
        if self._node.broker.status.connected:
            with suppress(BrokerUnavailableError, MessageTooBigError):
                self._node.broker.publish(publication)
        else:
            self._node.hub.broadcast(publication)


def _is_more_than_nothing(value: float | list[float]) -> bool:
    return any(value) if isinstance(value, list) else bool(value)


class _Live(Handler):
    """The handler of the route: operators are told, and have nothing to say."""

    feed: Feed

    def on_open(self, connection: Connection) -> None:
        self.feed.add(connection)


class _Way(Authenticator[Options]):
    """The way of the route: the API's tokens and the dashboard's sessions."""

    access: ApiAccess

    async def authenticate(self, opening: Opening) -> Identity:
        """Judge who looks.

        Raises:
            Refused: `unauthorized`, or `forbidden` without the scope `read`.
        """
        caller, ends_at = await self.access.identify_opening(opening)
        if "read" not in caller.scopes:
            raise refuse("forbidden", "scope read is missing")
        # As this no user of the application is called.
        return Identity(
            f"api:{caller.name}",
            {"name": caller.name, "scopes": sorted(caller.scopes)},
            expires_at=None if math.isinf(ends_at) else ends_at,
            proved_by="api",
        )


def live_route(feed: Feed, access: ApiAccess) -> Route:
    """Make the route at which operators are told.

    Args:
        feed: What they are told.
        access: The judge of who they are.
    """
    config = RouteConfig(
        path=PATH,
        allow_missing_origin=True,
        authenticate=("api",),
        subprotocols=(SUBPROTOCOL,),
        max_connections=_MOST_CONNECTIONS,
        overflow=Overflow.CONFLATE,
    )
    handler = _Live(Options())
    handler.feed = feed
    way = _Way(Options())
    way.access = access
    return Route(
        config,
        Dispatch([("live", handler)]),
        OriginPolicy.from_config(None, missing=True),
        (("api", way),),
        apart=True,
    )
