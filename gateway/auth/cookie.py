"""The way `cookie`: a session cookie that an application of the same site has set."""

from __future__ import annotations

import hashlib
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from itsdangerous import BadData, URLSafeTimedSerializer

from gateway.auth.claims import groups_of, user_of
from gateway.auth.credentials import cookie_values
from gateway.auth.verifier import JwtVerifier
from gateway.config.models import CookieWayConfig
from gateway.core.identity import Identity
from gateway.plugin.authenticator import Authenticator
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from gateway.config.models import SignedCookieConfig
    from gateway.core.node import Node
    from gateway.core.opening import Opening

__all__ = ["CookieAuthenticator", "SignedSession"]

_DIGESTS: Final[dict[str, Any]] = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}


class SignedSession:
    """The verification of cookies that are signed with a shared secret.

    Args:
        config: The settings.
    """

    def __init__(self, config: SignedCookieConfig) -> None:
        self._config = config
        self._serializer = URLSafeTimedSerializer(
            [secret.get_secret_value() for secret in config.secrets],
            salt=config.salt,
            signer_kwargs={
                "key_derivation": config.key_derivation,
                "digest_method": _DIGESTS[config.digest],
            },
        )

    def verify(self, cookie: str) -> Identity:
        """Give the identity that a cookie proves.

        Raises:
            Refused: `unauthorized`, if the cookie is not good.
        """
        config = self._config
        try:
            session, signed = self._serializer.loads(cookie, return_timestamp=True)
        except (BadData, ValueError):
            raise refuse("unauthorized", "cookie is not signed well") from None
        issued = signed.timestamp()
        now = time.time()
        if issued > now + config.leeway_seconds:
            raise refuse("unauthorized", "cookie is not valid yet")
        expires = issued + config.max_age_seconds + config.leeway_seconds
        if now >= expires:
            raise refuse("unauthorized", "cookie has expired")
        if not isinstance(session, dict):
            raise refuse("unauthorized", "cookie holds no session")
        user = session.get(config.user_claim)
        if isinstance(user, int) and not isinstance(user, bool):
            session[config.user_claim] = str(user)
        return Identity(
            user_of(session, config.user_claim),
            MappingProxyType(session),
            expires_at=expires,
            proved_by="cookie",
            groups=groups_of(session, config.groups_claim, config.max_groups),
            issued_at=issued,
        )


class CookieAuthenticator(Authenticator[CookieWayConfig]):
    """The way `cookie`.

    A browser sends cookies with every opening handshake, whichever page begins it; so the configuration lets
    this way only where a route lists the origins that may connect.
    """

    def __init__(self, options: CookieWayConfig) -> None:
        super().__init__(options)
        self._verifier = JwtVerifier(options.jwt, "cookie") if options.jwt is not None else None
        self._session = SignedSession(options.signed) if options.signed is not None else None

    def on_start(self, node: Node) -> None:
        """Begin to fetch the issuers' keys."""
        if self._verifier is not None:
            self._verifier.start(node)

    async def on_stop(self) -> None:
        """Fetch no more."""
        if self._verifier is not None:
            await self._verifier.stop()

    async def authenticate(self, opening: Opening) -> Identity | None:
        """Judge the cookie; `None` if the request has none of the name.

        Raises:
            Refused: `unauthorized` if the cookie is not good, or comes twice with different values;
                `auth_unavailable` if its key cannot be fetched.
        """
        values = set(cookie_values(opening.request, self.options.name))
        if not values:
            return None
        if len(values) > 1:
            raise refuse("unauthorized", "more than one credential")
        cookie = values.pop()
        if self._verifier is not None:
            return await self._verifier.verify(cookie)
        assert self._session is not None  # noqa: S101 - the model has exactly one of both
        return self._session.verify(cookie)
