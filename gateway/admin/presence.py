"""`GET /api/presence`: who is in a group, over all nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from gateway.admin.answers import PresenceAnswer
from gateway.admin.body import BadBodyError
from gateway.admin.publishing import GroupName  # noqa: TC001  (pydantic evaluates annotations)
from gateway.admin.query import Query
from gateway.core.presence import NoPresenceError

if TYPE_CHECKING:
    from gateway.admin.inside import Inside
    from gateway.core.presence import Member

__all__ = ["PresenceQuery"]


class PresenceQuery(Query):
    """The query of `GET /api/presence`."""

    answers = PresenceAnswer

    group: GroupName = Field(description="Name of the group.")
    count: bool = Field(default=False, description="Whether it is enough to know how many there are.")
    limit: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1000, description="Most members that are listed, of those who came first."
    )

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Answer who is in the group.

        Raises:
            BadBodyError: If that is not known: 404 `no_presence`.
        """
        node = inside.node
        try:
            connections = node.presence_count(self.group)
            members = () if self.count else node.presence(self.group)
        except NoPresenceError as exc:
            raise BadBodyError(f"group: {_describe(exc)}", 404, "no_presence") from None
        answer = {"group": self.group, "connections": connections}
        if self.count:
            return answer
        listed = [_as_json(member) for member in members[: self.limit]]
        return {**answer, "members": listed, "more": len(members) > len(listed)}


def _describe(error: NoPresenceError) -> str:
    if error.counted:
        return "how many are in it is known and not who, ask with count=true"
    return "has no presence"


def _as_json(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "user": member.user,
        "connections": member.connections,
        "since": member.since,
        "claims": dict(member.claims),
        "details": dict(member.details),
    }
