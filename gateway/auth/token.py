"""The way `token`: static keys from gateway.yaml, sent as `Authorization: Bearer <token>`."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from gateway.config.models import TokenWayConfig
from gateway.core.identity import Identity
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.opening import Opening

__all__ = ["TokenAuthenticator", "bearer_token", "same_secret"]


class TokenAuthenticator(Authenticator[TokenWayConfig]):
    """The way `token`."""

    def __init__(self, options: TokenWayConfig) -> None:
        super().__init__(options)
        self._keys = [
            (key.token.get_secret_value(), Identity(key.user, key.claims, proved_by="token"))
            for key in options.active_keys
        ]

    def authenticate(self, opening: Opening) -> Identity | None:
        """Judge a bearer token; `None` if the request has none.

        Raises:
            Refused: `unauthorized`, if the token fits no key, or if there are two Authorization fields.
        """
        if len(opening.request.get_all("authorization")) > 1:
            raise refuse("unauthorized", "two Authorization fields")
        token = bearer_token(opening.request.headers)
        if token is None:
            return None
        # Every key is compared, so that the time tells nothing of which one was near.
        fitting = [identity for secret, identity in self._keys if same_secret(secret, token)]
        if not fitting:
            raise refuse("unauthorized", "token fits no key")
        return fitting[0]


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """Give the token of an Authorization field of the scheme Bearer (RFC 6750 section 2.1)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def same_secret(expected: str, given: str) -> bool:
    """Compare two secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode(errors="surrogateescape"))
