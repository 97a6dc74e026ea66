"""Who an opening handshake proved to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Identity"]

_NO_CLAIMS: Final[Mapping[str, object]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the opening handshake proved.

    Args:
        user: The user id; the same for all connections of one user.
        claims: What else was proved; plain data.
        expires_at: When the proof ends, in seconds since the epoch; `None` for never.
        proved_by: The name of the way that proved it, as in `authenticate`.
        groups: Names of the groups that its connections join, besides the route's.
        token_id: By what name a single proof can be withdrawn: a token's `jti`, or a key's name; `None` where
            it has none.
        issued_at: When the proof was made, in seconds since the epoch; `None` if that is not known.
    """

    user: str
    claims: Mapping[str, object] = field(default_factory=lambda: _NO_CLAIMS, repr=False)
    expires_at: float | None = None
    proved_by: str = ""
    groups: tuple[str, ...] = ()
    token_id: str | None = None
    issued_at: float | None = None
