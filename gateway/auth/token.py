"""The way `token`: static keys from gateway.yaml, sent as bearer tokens."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

from gateway.config.models import TokenWayConfig
from gateway.config.models.bearer import token_digest
from gateway.config.models.forms import has_jwt_form
from gateway.core.identity import Identity
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.core.node import Node
    from gateway.core.opening import Opening

__all__ = ["TokenAuthenticator", "fitting"]


class TokenAuthenticator(Authenticator[TokenWayConfig]):
    """The way `token`."""

    def __init__(self, options: TokenWayConfig) -> None:
        super().__init__(options)
        self._digests: list[bytes] = []
        self._identities: list[Identity] = []
        for key in options.active_keys:
            assert key.digest is not None  # noqa: S101 - the key is active
            self._digests.append(key.digest)
            ends = None if key.expires_at is None else key.expires_at.timestamp()
            self._identities.append(
                Identity(
                    key.user,
                    key.claims,
                    expires_at=ends,
                    proved_by="token",
                    groups=key.groups,
                    token_id=key.name,
                )
            )

    def on_start(self, node: Node) -> None:
        """Say in the log which keys have ended: a check of the file does not hang on the day."""
        now = time.time()
        for identity in self._identities:
            if _has_ended(identity, now):
                node.log.warning(
                    "token_key_expired", logger="gateway.auth", key=identity.token_id, user=identity.user
                )

    def authenticate(self, opening: Opening) -> Identity | None:
        """Judge a bearer token; `None` if there is none, or one in the form of a JWT, which is another way's.

        Raises:
            Refused: `unauthorized`, if the token fits no key, or one that has ended.
        """
        if opening.credential is None or has_jwt_form(opening.credential.value):
            return None
        found = fitting(opening.credential.value, self._digests)
        if found is None:
            raise refuse("unauthorized", "token fits no key")
        identity = self._identities[found]
        if _has_ended(identity, time.time()):
            raise refuse("unauthorized", "token's key has ended")
        return identity


def fitting(token: str, digests: Iterable[bytes]) -> int | None:
    """Give the index of the digest that a bearer token has; `None` if it has none of them.

    Every one is compared, so that the time tells nothing of which one was near.
    """
    given = token_digest(token)
    found = [index for index, digest in enumerate(digests) if hmac.compare_digest(digest, given)]
    return found[0] if found else None


def _has_ended(identity: Identity, now: float) -> bool:
    return identity.expires_at is not None and identity.expires_at <= now
