"""An opening handshake under way, as authenticators and admission hooks see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.identity import Identity
    from gateway.core.request import OpeningRequest

__all__ = ["Credential", "Opening"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A bearer credential, as a client sent it.

    Args:
        value: The credential itself; never shown.
        source: The place it came in, as in the route's `credentials_from`.
    """

    value: str = field(repr=False)
    source: str


@dataclass(slots=True)
class Opening:
    """An opening handshake that has passed the checks of the request itself.

    Args:
        request: The request.
        route: The route's name.
        params: Path parameters by name.
        remote: The client's address; behind trusted proxies, as they tell it.
        subprotocol: The chosen subprotocol, if any.
        identity: Who it proved to be: `None` until authentication, and where the route asks for none.
        credential: The bearer credential that came in one of the places in which the route looks; `None` if
            none came, and where the route asks for no identity.
        peer_certificate: The client's certificate, verified, as `ssl.SSLObject.getpeercert` gives it; `None`
            if there is none.
    """

    request: OpeningRequest
    route: str
    params: Mapping[str, str]
    remote: str
    subprotocol: str | None
    identity: Identity | None = None
    credential: Credential | None = None
    peer_certificate: Mapping[str, Any] | None = None
