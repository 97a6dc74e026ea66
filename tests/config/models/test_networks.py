from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.config.models import ListenConfig


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "192.0.2.1",
        "192.0.2.1/32",
        "2001:db8::/32",
        "::1",
        "2001:DB8::1/128",
        "0.0.0.0/1",
    ],
)
def test_network(text: str) -> None:
    """An address or a network in CIDR form is taken as it is."""
    assert ListenConfig(trusted_proxies=[text]).trusted_proxies == (text,)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("10.0.0.1/8", "network has bits set behind its prefix"),
        ("proxy.example.com", "neither an ip address nor a network"),
        ("10.0.0.0/33", "neither an ip address nor a network"),
        ("10.0.0", "neither an ip address nor a network"),
        ("10.0.0.1:80", "neither an ip address nor a network"),
        ("10.0.0.0 - 10.0.0.9", "neither an ip address nor a network"),
        ("*", "neither an ip address nor a network"),
        ("", "at least 1 character"),
        ("0.0.0.0/0", "network of every address"),
        ("::/0", "network of every address"),
        ("::ffff:10.0.0.0/104", "write the ipv4 network"),
        ("::ffff:10.0.0.1", "write the ipv4 network"),
    ],
)
def test_no_network(text: str, fact: str) -> None:
    """Whatever would trust nobody, or everybody, is refused with the reason."""
    with pytest.raises(ValidationError, match=fact):
        ListenConfig(trusted_proxies=[text])


def test_network_twice() -> None:
    """A network that is listed twice is a mistake."""
    with pytest.raises(ValidationError, match="entry repeated"):
        ListenConfig(trusted_proxies=["10.0.0.0/8", "10.0.0.0/8"])
