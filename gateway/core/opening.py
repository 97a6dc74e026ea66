"""An opening handshake under way, as authenticators and admission hooks see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.core.identity import Identity
    from gateway.core.request import OpeningRequest

__all__ = ["Opening"]


@dataclass(slots=True)
class Opening:
    """An opening handshake that has passed the checks of the request itself.

    Args:
        request: The request.
        route: The route's name.
        params: Path parameters by name.
        remote: The peer's address.
        subprotocol: The chosen subprotocol, if any.
        identity: Who it proved to be: `None` until authentication, and where the route asks for none.
    """

    request: OpeningRequest
    route: str
    params: Mapping[str, str]
    remote: str
    subprotocol: str | None
    identity: Identity | None = None
