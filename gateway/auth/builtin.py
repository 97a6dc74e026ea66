"""The gateway's own plugin: it gives the built-in ways to authenticate through the public hook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.auth.token import TokenAuthenticator
from gateway.plugin.marker import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.plugin.authenticator import Authenticator

__all__ = ["gateway_authenticators"]


@hookimpl
def gateway_authenticators() -> Mapping[str, type[Authenticator[Any]]]:
    """Name the built-in ways."""
    return {"token": TokenAuthenticator}
