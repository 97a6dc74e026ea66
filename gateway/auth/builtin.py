"""The gateway's own plugin: it gives the built-in ways to authenticate through the public hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.auth.cookie import CookieAuthenticator
from gateway.auth.forward import ForwardAuthenticator
from gateway.auth.jwt import JwtAuthenticator
from gateway.auth.mtls import MtlsAuthenticator
from gateway.auth.ticket import TicketAuthenticator
from gateway.auth.token import TokenAuthenticator
from gateway.plugin.marker import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.plugin.authenticator import Authenticator

__all__ = ["gateway_authenticators"]


@hookimpl
def gateway_authenticators() -> Mapping[str, type[Authenticator[Any]]]:
    """Name the built-in ways."""
    return {
        "cookie": CookieAuthenticator,
        "forward": ForwardAuthenticator,
        "jwt": JwtAuthenticator,
        "mtls": MtlsAuthenticator,
        "ticket": TicketAuthenticator,
        "token": TokenAuthenticator,
    }
