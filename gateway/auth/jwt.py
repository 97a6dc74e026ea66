"""The way `jwt`: a bearer token that one of the configured issuers has signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.auth.verifier import JwtVerifier
from gateway.config.models import JwtWayConfig
from gateway.config.models.forms import has_jwt_form
from gateway.plugin.authenticator import Authenticator

if TYPE_CHECKING:
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.core.opening import Opening

__all__ = ["JwtAuthenticator"]


class JwtAuthenticator(Authenticator[JwtWayConfig]):
    """The way `jwt`."""

    def __init__(self, options: JwtWayConfig) -> None:
        super().__init__(options)
        self._verifier = JwtVerifier(options, "jwt")

    def on_start(self, node: Node) -> None:
        """Begin to fetch the issuers' keys."""
        self._verifier.start(node)

    async def on_stop(self) -> None:
        """Fetch no more."""
        await self._verifier.stop()

    async def authenticate(self, opening: Opening) -> Identity | None:
        """Judge a bearer token; `None` if the request has none of a JWT's form.

        Raises:
            Refused: `unauthorized` if the token is not good; `auth_unavailable` if its key cannot be fetched.
        """
        credential = opening.credential
        if credential is None or not has_jwt_form(credential.value):
            return None
        return await self._verifier.verify(credential.value)
