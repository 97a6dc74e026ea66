"""Who asks over plain HTTP: by the word of trusted proxies, as for opening handshakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.server.address import peer_address
from gateway.server.proxies import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import Callable

    from sanic import Request

    from gateway.config.models import ListenConfig

__all__ = ["client_finder"]

_FIELDS = ("x-forwarded-for", "x-forwarded-proto", "forwarded")


def client_finder(listen: ListenConfig) -> Callable[[Request], tuple[str, str]]:
    """Give a function from a request to its client's address and scheme, `http` or `https`."""
    proxies = TrustedProxies(listen.trusted_proxies, listen.proxy_header)
    own = "http" if listen.tls is None else "https"

    def find(request: Request) -> tuple[str, str]:
        fields = {name: request.headers.getall(name, []) for name in _FIELDS}
        client = proxies.client(peer_address(request.transport), fields)
        return client.address, client.scheme or own

    return find
