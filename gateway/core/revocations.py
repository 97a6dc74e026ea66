"""Identities that are not to be taken any more, though their proofs have not run out."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import pydantic

from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.core.identity import Identity

__all__ = ["MOST_REVOCATIONS", "PlainRevocation", "Revocation", "Revocations", "TooManyRevocationsError"]

MOST_REVOCATIONS: Final = 1_000_000
"""Most revocations that are kept; some 350 MB."""


class TooManyRevocationsError(GatewayError):
    """A revocation for which there is no room."""

    def __init__(self) -> None:
        super().__init__(f"too many revocations, limit {MOST_REVOCATIONS}")


class Revocation(NamedTuple):
    """What is revoked: one token, or what was issued to a user up to a moment.

    Args:
        token_id: The token's `jti`, or a static key's name; `None` if it is a user.
        user: The user id; `None` if it is a token.
        issued_before: Of a user's proofs, those issued then or earlier, in seconds since the epoch. A proof
            that does not say when it was issued counts as an old one.
        until: When the revocation may be forgotten, in seconds since the epoch: everything it is about has
            run out by then.
    """

    token_id: str | None
    user: str | None
    issued_before: float
    until: float

    def covers(self, identity: Identity) -> bool:
        """Tell whether an identity is among what is revoked."""
        if self.token_id is not None:
            return identity.token_id == self.token_id
        if identity.user != self.user:
            return False
        return identity.issued_at is None or identity.issued_at <= self.issued_before


class PlainRevocation(pydantic.BaseModel):
    """A revocation on its way, to other nodes or to a file: plain data, judged before it is believed."""

    model_config = pydantic.ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    token_id: str | None
    user: str | None
    issued_before: float
    until: float

    @pydantic.model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.token_id is None) == (self.user is None):
            raise ValueError("exactly one of token_id and user is needed")
        return self

    def revocation(self) -> Revocation:
        """Give the revocation."""
        return Revocation(self.token_id, self.user, self.issued_before, self.until)


class Revocations:
    """The revocations that a node knows.

    Args:
        now: Gives the seconds since the epoch.
    """

    __slots__ = ("_by_token", "_by_user", "_ends", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._by_token: dict[str, Revocation] = {}
        self._by_user: dict[str, Revocation] = {}
        self._ends: list[tuple[float, bool, str]] = []

    def __len__(self) -> int:
        return len(self._by_token) + len(self._by_user)

    def __iter__(self) -> Iterator[Revocation]:
        """Give those that still hold."""
        self._forget_ended()
        yield from (*self._by_token.values(), *self._by_user.values())

    def add(self, revocation: Revocation) -> None:
        """Add a revocation; with an earlier one of the same token or user, the wider of each bound holds.

        Raises:
            TooManyRevocationsError: If there is no room for it.
        """
        self._forget_ended()
        by_user = revocation.user is not None
        table = self._by_user if by_user else self._by_token
        key = str(revocation.user if by_user else revocation.token_id)
        former = table.get(key)
        if former is not None:
            revocation = revocation._replace(
                issued_before=max(former.issued_before, revocation.issued_before),
                until=max(former.until, revocation.until),
            )
        elif len(self) >= MOST_REVOCATIONS:
            raise TooManyRevocationsError
        table[key] = revocation
        if former is None or revocation.until > former.until:
            heapq.heappush(self._ends, (revocation.until, by_user, key))
        if len(self._ends) > 2 * len(self):
            # The same ones were widened again and again, which leaves their former ends behind.
            self._ends = [
                (one.until, by_user, key)
                for by_user, listed in ((False, self._by_token), (True, self._by_user))
                for key, one in listed.items()
            ]
            heapq.heapify(self._ends)

    def covers(self, identity: Identity) -> bool:
        """Tell whether an identity is revoked."""
        if not self._ends:
            return False
        self._forget_ended()
        found = self._by_user.get(identity.user)
        if found is not None and found.covers(identity):
            return True
        return identity.token_id is not None and identity.token_id in self._by_token

    def _forget_ended(self) -> None:
        now = self._now()
        while self._ends and self._ends[0][0] <= now:
            _, by_user, key = heapq.heappop(self._ends)
            table = self._by_user if by_user else self._by_token
            found = table.get(key)
            if found is not None and found.until <= now:
                del table[key]
