"""What a node finds in itself when it is asked: connections, users, groups, itself, and what it counts."""

from __future__ import annotations

import asyncio
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Final

import pydantic
from pydantic import Field

from gateway.core.groups import user_group, user_of
from gateway.core.inquiries import Answer
from gateway.observe.gathered import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.admin.nodes import About
    from gateway.core.connection import Connection
    from gateway.core.node import Node
    from gateway.core.route import Route
    from gateway.observe.gathered import Figures

__all__ = ["MOST", "ConnectionDetails", "Looking", "NameDetails", "connection_place"]

MOST: Final = 1000
"""Most entries of one answer."""

_IN_ONE_TURN: Final = 1000  # connections that are looked at: about a millisecond
_MOST_GROUPS: Final = 50

Word = Annotated[str, Field(max_length=512)]


class NameDetails(pydantic.BaseModel):
    """Which users or groups are asked for."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    search: Word | None = None
    limit: int = Field(default=100, ge=1, le=MOST)
    after: Word | None = None


class ConnectionDetails(NameDetails):
    """Which connections are asked for."""

    user: Word | None = None
    group: Word | None = None
    route: Word | None = None


class Looking:
    """A node's look at itself.

    Args:
        node: The node.
        routes: Its routes.
        about: What it says of itself.
        read: Gives its figures; `None` where nothing is counted.
    """

    def __init__(
        self, node: Node, routes: Sequence[Route], about: About, read: Callable[[], Figures] | None
    ) -> None:
        self._node = node
        self._routes = tuple(routes)
        self._about = about
        self._read = read

    def begin(self) -> None:
        """Answer from now on."""
        self._node.inquiries.subjects.update(
            connections=self._connections,
            users=self._users,
            groups=self._groups,
            node=self._itself,
            figures=self._figures,
        )

    async def _connections(self, details: Mapping[str, Any]) -> Answer:
        asked = ConnectionDetails.model_validate(dict(details))
        hub = self._node.hub
        among = hub.connections
        if asked.user is not None:
            among = hub.members(user_group(asked.user))
        elif asked.group is not None:
            among = hub.members(asked.group)
        begin = self._begin(asked.after)
        listed: list[dict[str, Any]] = []
        total = behind = 0
        for index, connection in enumerate(sorted(among, key=attrgetter("number"))):
            if index % _IN_ONE_TURN == _IN_ONE_TURN - 1:
                await asyncio.sleep(0)
            if not (connection.is_open and _fits(connection, asked)):
                continue
            total += 1
            if connection.number >= begin:
                behind += 1
                if len(listed) < asked.limit:
                    listed.append(self._entry(connection))
        return Answer(listed, {"total": total, "behind": behind})

    def _begin(self, after: str | None) -> float:
        """Give the number of the first connection that comes after another one, by its id."""
        own, _ = connection_place(self._node.connection_id(0))
        if after is None:
            return 0
        prefix, number = connection_place(after)
        return 0 if own > prefix else float("inf") if own < prefix else number + 1

    def _entry(self, connection: Connection) -> dict[str, Any]:
        identity = connection.identity
        tally = connection.tally
        groups = connection.groups
        return {
            "id": connection.id,
            "node": self._node.name,
            "route": connection.route,
            "path": connection.path,
            "user": connection.user,
            "way": None if identity is None else identity.proved_by,
            "remote": connection.remote,
            "opened_at": connection.opened_at,
            "expires_at": None if identity is None else identity.expires_at,
            "subprotocol": connection.subprotocol,
            "groups": list(groups[:_MOST_GROUPS]),
            "group_count": len(groups),
            "messages_in": tally.messages_in,
            "messages_out": tally.messages_out,
            "bytes_in": tally.bytes_in,
            "bytes_out": tally.bytes_out,
            "queued_bytes": connection.queued_bytes,
            "round_trip_seconds": connection.round_trip_seconds,
        }

    async def _users(self, details: Mapping[str, Any]) -> Answer:
        sizes = ((user_of(name), size) for name, size in self._node.hub.sizes())
        return _named("user", ((name, size) for name, size in sizes if name is not None), details)

    async def _groups(self, details: Mapping[str, Any]) -> Answer:
        sizes = self._node.hub.sizes()
        return _named("group", ((name, size) for name, size in sizes if not name.startswith("$")), details)

    async def _itself(self, details: Mapping[str, Any]) -> Answer:
        del details
        routes = {route.name: route.connections for route in self._routes}
        return Answer([{**self._about.read(), "routes": routes}], {})

    async def _figures(self, details: Mapping[str, Any]) -> Answer:
        del details
        return Answer([] if self._read is None else [to_plain(self._read())], {})


def _named(kind: str, sizes: Iterable[tuple[str, int]], details: Mapping[str, Any]) -> Answer:
    """Answer with the first names behind a place; those of a million take half a second."""
    asked = NameDetails.model_validate(dict(details))
    wanted = None if asked.search is None else asked.search.casefold()
    fitting = [
        (name, size)
        for name, size in sizes
        if (asked.after is None or name > asked.after) and (wanted is None or wanted in name.casefold())
    ]
    first = nsmallest(asked.limit, fitting)
    return Answer([{kind: name, "connections": size} for name, size in first], {"behind": len(fitting)})


def _fits(connection: Connection, asked: ConnectionDetails) -> bool:
    if asked.route is not None and connection.route != asked.route:
        return False
    if asked.group is not None and asked.group not in connection.groups:
        return False
    if asked.search is None:
        return True
    wanted = asked.search.casefold()
    texts = (connection.id, connection.user or "", connection.remote, connection.path)
    return any(wanted in text.casefold() for text in texts)


def connection_place(connection_id: str) -> tuple[str, int]:
    """Give the place of a connection in the order of all: by node, and then by its number there.

    Raises:
        ValueError: If it is not the id of a connection.
    """
    prefix, _, number = connection_id.partition("-")
    return prefix, int(number, 16)
