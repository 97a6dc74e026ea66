"""Tests of finding out who asks over plain HTTP."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sanic.compat import Header

from gateway.config.models import ListenConfig
from gateway.server.client import client_finder


def request(peer: str, *fields: tuple[str, str]) -> Any:
    """Make what is looked at of a request: its peer, and its fields."""
    transport = SimpleNamespace(get_extra_info=lambda name: (peer, 4711) if name == "peername" else None)
    return SimpleNamespace(transport=transport, headers=Header(fields))


@pytest.mark.parametrize(
    ("peer", "fields", "client"),
    [
        ("203.0.113.9", (), ("203.0.113.9", "http")),
        (
            "203.0.113.9",
            (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")),
            ("203.0.113.9", "http"),
        ),
        ("10.1.2.3", (), ("10.1.2.3", "http")),
        (
            "10.1.2.3",
            (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")),
            ("192.0.2.1", "https"),
        ),
        (
            "10.1.2.3",
            (("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "192.0.2.1")),
            ("192.0.2.1", "http"),
        ),
        ("10.1.2.3", (("Forwarded", "for=192.0.2.1;proto=https"),), ("10.1.2.3", "http")),
    ],
)
def test_client(peer: str, fields: tuple[tuple[str, str], ...], client: tuple[str, str]) -> None:
    """Trusted proxies are believed, as for opening handshakes, and nobody else is."""
    find = client_finder(ListenConfig.model_validate({"trusted_proxies": ["10.0.0.0/8"]}))
    assert find(request(peer, *fields)) == client


def test_the_listeners_own_scheme() -> None:
    """Without a proxy's word the scheme is the listener's."""
    listen = ListenConfig.model_validate({"tls": {"certificate": "c", "key": "k"}})
    assert client_finder(listen)(request("203.0.113.9")) == ("203.0.113.9", "https")
