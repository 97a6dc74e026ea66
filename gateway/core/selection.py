"""Which connections an order is for: of a user, a route, a group, with a claim, or a single one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.core.connection import Connection

__all__ = ["Selection", "has_claims"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Connections by what they have in common. What is `None` does not count; everything else has to fit.

    Args:
        user: The user id of their identity.
        connection: Their id, so that there is one at most.
        route: The name of their route.
        group: The name of a group that they are members of.
        claims: Claims of their identity by name. A claim that is a list fits if the value is in it, one that
            is a mapping if it holds all that the value names.
    """

    user: str | None = None
    connection: str | None = None
    route: str | None = None
    group: str | None = None
    claims: Mapping[str, Any] | None = None

    def fits(self, connection: Connection) -> bool:
        """Tell whether a connection is among them."""
        identity = connection.identity
        if self.user is not None and (identity is None or identity.user != self.user):
            return False
        if self.connection is not None and connection.id != self.connection:
            return False
        if self.route is not None and connection.route != self.route:
            return False
        if self.group is not None and self.group not in connection.groups:
            return False
        if not self.claims:
            return True
        return identity is not None and has_claims(identity.claims, self.claims)


def has_claims(claims: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether claims hold all wanted ones.

    A claim that is a list has to hold the wanted value. One that is a mapping has to hold what the wanted
    mapping names, as `{"subject": {"organizationName": "Acme"}}`.
    """
    return all(name in claims and _fits(claims[name], value) for name, value in wanted.items())


def _fits(claim: Any, wanted: Any) -> bool:
    if isinstance(claim, list | tuple) and not isinstance(wanted, list | tuple):
        return any(_holds(one, wanted) for one in claim)
    return _holds(claim, wanted)


def _holds(claim: Any, wanted: Any) -> bool:
    if isinstance(claim, Mapping) and isinstance(wanted, Mapping):
        return has_claims(claim, wanted)
    return _same(claim, wanted)


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON: in Python, `True == 1`."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)
