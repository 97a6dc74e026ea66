"""Readings over all nodes: who is connected, to what, and what is counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import pydantic
from pydantic import Field

from gateway.admin.answers import (
    ConnectionEntry,
    ConnectionsAnswer,
    GroupCount,
    GroupsAnswer,
    NodeEntry,
    NodesAnswer,
    StatsAnswer,
    UserCount,
    UsersAnswer,
)
from gateway.admin.looking import MOST, connection_place
from gateway.admin.publishing import GroupName, Text  # noqa: TC001  (pydantic evaluates annotations)
from gateway.admin.query import Query
from gateway.observe.families import FAMILIES, WORKER, Kind
from gateway.observe.gathered import Gathered, from_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.admin.inside import Inside
    from gateway.core.inquiries import Answers
    from gateway.observe.gathered import Figures

__all__ = ["ConnectionsQuery", "GroupsQuery", "NodesQuery", "StatsQuery", "UsersQuery", "entries"]

Model = TypeVar("Model", bound=pydantic.BaseModel)


class _Page(Query):
    """A question that is answered in pages."""

    search: Text | None = Field(default=None, description="What a name has to contain, in any case.")
    limit: int = Field(default=100, ge=1, le=MOST, description="Most entries of the answer.")
    after: Text | None = Field(default=None, description="Where to begin: `next` of the last answer.")


class ConnectionsQuery(_Page):
    """The query of `GET /api/connections`. All that is given fits."""

    answers = ConnectionsAnswer

    search: Text | None = Field(
        default=None,
        description="What the id, the user, the client's address or the path has to contain, in any case.",
    )
    after: Annotated[Text, Field(pattern=r"^[0-9a-f]+-[0-9a-f]+$")] | None = Field(
        default=None, description="Where to begin: `next` of the last answer."
    )
    user: Text | None = Field(default=None, description="User id of the connections' identity.")
    group: GroupName | None = Field(default=None, description="Name of a group that they are members of.")
    route: Text | None = Field(default=None, description="Name of their route.")

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List connections in an order that stays."""
        found = await inside.node.inquiries.ask("connections", self.model_dump(exclude_none=True))
        listed = sorted(entries(found, ConnectionEntry), key=lambda one: connection_place(one.id))
        return {
            "connections": [one.model_dump() for one in listed[: self.limit]],
            "total": _sum(found, "total"),
            "next": listed[: self.limit][-1].id if listed and _more(found, self.limit) else None,
            **_who(found),
        }


class UsersQuery(_Page):
    """The query of `GET /api/users`."""

    answers = UsersAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List users by their ids."""
        found = await inside.node.inquiries.ask("users", self.model_dump(exclude_none=True))
        counts: Counter[str] = Counter()
        for one in entries(found, UserCount):
            counts[one.user] += one.connections
        names = sorted(counts)[: self.limit]
        return {
            "users": [{"user": name, "connections": counts[name]} for name in names],
            "next": names[-1] if names and _more(found, self.limit, len(counts)) else None,
            **_who(found),
        }


class GroupsQuery(_Page):
    """The query of `GET /api/groups`."""

    answers = GroupsAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List groups by their names."""
        found = await inside.node.inquiries.ask("groups", self.model_dump(exclude_none=True))
        counts: Counter[str] = Counter()
        for one in entries(found, GroupCount):
            counts[one.group] += one.connections
        names = sorted(counts)[: self.limit]
        return {
            "groups": [{"group": name, "connections": counts[name], **_kept(inside, name)} for name in names],
            "next": names[-1] if names and _more(found, self.limit, len(counts)) else None,
            **_who(found),
        }


class NodesQuery(Query):
    """The query of `GET /api/nodes`: nothing."""

    answers = NodesAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """List the nodes by host, and then by worker."""
        found = await inside.node.inquiries.ask("node", {})
        nodes = sorted(entries(found, NodeEntry), key=lambda one: (one.host, one.worker or 0, one.node))
        return {"nodes": [one.model_dump() for one in nodes], **_who(found)}


class StatsQuery(Query):
    """The query of `GET /api/stats`: nothing."""

    answers = StatsAnswer

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Add up what the nodes have counted."""
        found = await inside.node.inquiries.ask("figures", {})
        gathered = Gathered()
        for node, answer in found.by_node.items():
            for plain in answer.entries:
                try:
                    gathered.take(node, node, _judged(plain))
                except (TypeError, ValueError, KeyError):
                    continue  # of another version
        figures = {
            name: [_figure(name, labels, value) for labels, value in values.items()]
            for name, values in gathered.merged().items()
        }
        return {"figures": figures, "nodes": len(found.by_node), **_who(found)}


def entries(found: Answers, model: type[Model]) -> Iterator[Model]:
    """Give what nodes have answered; what has not the form, as from another version, is left out."""
    for answer in found.by_node.values():
        for plain in answer.entries:
            try:
                yield model.model_validate(plain)
            except pydantic.ValidationError:
                continue


def _who(found: Answers) -> dict[str, Any]:
    return {"silent": found.silent, "complete": found.complete}


def _sum(found: Answers, fact: str) -> int:
    return sum(answer.facts.get(fact, 0) for answer in found.by_node.values())


def _more(found: Answers, limit: int, merged: int = 0) -> bool:
    """Tell whether there are more entries than fit into the answer.

    Args:
        found: What the nodes have answered.
        limit: How many fit.
        merged: How many there are, where nodes may have the same.
    """
    if not merged:
        return _sum(found, "behind") > limit
    return merged > limit or any(one.facts.get("behind", 0) > limit for one in found.by_node.values())


def _kept(inside: Inside, group: str) -> dict[str, Any]:
    policy = inside.policy_of(group)
    return {
        "history": policy is not None and policy.history is not None,
        "presence": "off" if policy is None else policy.presence,
    }


def _judged(plain: dict[str, Any]) -> Figures:
    """Take the figures of a node, if they have the form of this one's.

    Raises:
        TypeError: If they have not; or `ValueError`, or `KeyError`.
    """
    figures = from_plain(plain)
    for name, values in figures.items():
        family = FAMILIES[name]
        labels = sum(label != WORKER for label in family.labels)
        for key, value in values.items():
            if len(key) != labels or not all(isinstance(part, str) for part in key):
                raise ValueError(name)
            if family.kind is Kind.HISTOGRAM:
                if not isinstance(value, list) or len(value) != len(family.bounds) + 2:
                    raise ValueError(name)
                sum(value)
            else:
                value + 0  # type: ignore[operator]  # a number, or an error
    return figures


def _figure(name: str, labels: tuple[str, ...], value: float | list[float]) -> dict[str, Any]:
    found = {"labels": dict(zip(FAMILIES[name].labels, labels, strict=True))}
    if isinstance(value, list):
        return {**found, "counts": value[:-1], "sum": value[-1]}
    return {**found, "value": value}
