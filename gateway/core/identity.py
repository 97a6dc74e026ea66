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
    """

    user: str
    claims: Mapping[str, object] = field(default_factory=lambda: _NO_CLAIMS, repr=False)
    expires_at: float | None = None
    proved_by: str = ""
