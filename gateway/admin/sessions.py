"""Sessions of the dashboard: a signed cookie in place of a token that a page would have to keep."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, NamedTuple

from itsdangerous import BadData, URLSafeSerializer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.config.models import ApiToken

__all__ = ["COOKIE", "Caller", "Session", "Sessions", "session_key"]

COOKIE: Final = "gateway_admin"
"""The name of the cookie."""

_SALT: Final = "gateway admin session"


class Caller(NamedTuple):
    """Who calls the API.

    Args:
        name: A token's name, or a way's and the user id, for the log.
        scopes: What they may do.
    """

    name: str
    scopes: frozenset[str]


class Session(NamedTuple):
    """Who has logged in.

    Args:
        caller: With which token.
        ends_at: Until when, in seconds since the epoch.
    """

    caller: Caller
    ends_at: float


def session_key(shared: str) -> bytes:
    """Make the key that signs sessions of what all workers share, the key of resume tokens."""
    return hmac.digest(shared.encode(), _SALT.encode(), "sha256")


class Sessions:
    """What makes sessions and knows them again.

    Nothing is kept of them: a session is good until its end, or until its token is taken out of gateway.yaml
    or changed there.

    Args:
        tokens: The tokens of the API.
        key: Signs them; the same in all workers.
        seconds: How long one is good.
        now: Gives the time in seconds since the epoch.
    """

    def __init__(
        self, tokens: Iterable[ApiToken], key: bytes, seconds: float, now: Callable[[], float]
    ) -> None:
        self._serializer = URLSafeSerializer(
            key, salt=_SALT, signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256}
        )
        self._seconds = seconds
        self._now = now
        self._callers = {
            token.name: (Caller(token.name, frozenset(token.scopes)), _mark(key, token.digest))
            for token in tokens
            if token.digest is not None
        }

    @property
    def seconds(self) -> float:
        """How long one is good."""
        return self._seconds

    def issue(self, name: str) -> str:
        """Make a session for who has shown the token of this name; give the cookie's value."""
        _, mark = self._callers[name]
        return str(self._serializer.dumps([name, mark, self._now() + self._seconds]))

    def find(self, value: str) -> Session | None:
        """Give the session of a cookie's value; `None` if it is none, or has ended."""
        try:
            name, mark, ends_at = self._serializer.loads(value)
        except (BadData, ValueError, TypeError):
            return None
        found = self._callers.get(name)
        if found is None or not hmac.compare_digest(found[1], mark) or ends_at <= self._now():
            return None
        return Session(found[0], ends_at)


def _mark(key: bytes, digest: bytes) -> str:
    """Give what tells a token from another of its name, and nothing of the token."""
    return hmac.digest(key, digest, "sha256")[:8].hex()
