"""Who is in a group, over all nodes: what handlers and callers of the API are told."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from gateway.config.models import GroupPolicy
    from gateway.core.identity import Identity

__all__ = [
    "MOST_PLAIN_BYTES",
    "NOTHING",
    "Member",
    "NoPresenceError",
    "PresenceOf",
    "choose_claims",
    "is_user",
    "member_id",
    "no_presence",
    "plain_copy",
]

MOST_PLAIN_BYTES: Final = 1024
"""Most bytes of a member's claims, and of its details, each as JSON: every node keeps them of everyone."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

_USER: Final = "user:"
_MOST_USER: Final = 512

PresenceOf: TypeAlias = "Callable[[str], GroupPolicy | None]"
"""Give the policy of a group by its name; `None` where nobody is told who is in it."""


def no_presence(_group: str) -> GroupPolicy | None:
    """Say of every group that it has no presence."""
    return None


class NoPresenceError(GatewayError, ValueError):
    """A question for who is in a group, of which gateway.yaml does not say that it is to be known.

    Args:
        group: The group's name.
        counted: Whether it is known how many there are.
    """

    def __init__(self, group: str, *, counted: bool = False) -> None:
        fact = "its policy in gateway.yaml has no presence: true"
        if counted:
            fact = "its policy in gateway.yaml has presence: count, which tells how many and not who"
        super().__init__(f"no presence of group {group[:200]!r}, {fact}")
        self.group = group
        self.counted = counted


class Member(NamedTuple):
    """Somebody who is in a group, by one connection or several, on whichever nodes.

    Args:
        id: `user:` and the user id, or the id of a connection without an identity, which is somebody of its
            own.
        connections: How many of theirs are in the group; 0 for one who is away, and may be back within
            `presence_grace_seconds`.
        since: When they came, in seconds since the epoch.
        claims: Those of the identity that `presence_claims` names.
        details: What handlers have said of them by `connection.describe`; empty if nothing.
    """

    id: str
    connections: int
    since: float
    claims: Mapping[str, Any]
    details: Mapping[str, Any]

    @property
    def user(self) -> str | None:
        """The user id; `None` for a connection without an identity."""
        return self.id[len(_USER) :] if is_user(self.id) else None


def member_id(identity: Identity | None, connection_id: str) -> str:
    """Give the id of the member that a connection counts as."""
    # An id of a connection has no colon. A user id that is too long to be told is nobody's.
    if identity is None or len(identity.user) > _MOST_USER:
        return connection_id
    return _USER + identity.user


def is_user(member: str) -> bool:
    """Tell whether a member's id is that of a user, who may come back by another connection."""
    return member.startswith(_USER)


def choose_claims(identity: Identity | None, names: tuple[str, ...]) -> Mapping[str, Any]:
    """Give an identity's claims of these names, as far as they are plain data and fit into the limit."""
    if identity is None or not names:
        return NOTHING
    chosen: dict[str, Any] = {}
    for name in names:
        if name in identity.claims:
            try:
                chosen = plain_copy({**chosen, name: identity.claims[name]})
            except ValueError:
                continue
    return chosen or NOTHING


def plain_copy(value: Mapping[str, Any]) -> dict[str, Any]:
    """Give a copy of a mapping that can travel.

    Raises:
        ValueError: If it holds what is no JSON, or is too long.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        copied: dict[str, Any] = json.loads(text)
        msgspec.msgpack.encode(copied)  # whole numbers have 64 bits there, and texts no halves of pairs
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise ValueError(f"not plain data: {exc}") from None
    if (size := len(text.encode())) > MOST_PLAIN_BYTES:
        raise ValueError(f"too long: {size} bytes as json, limit {MOST_PLAIN_BYTES}")
    return copied
