"""The written form of a network of IP addresses."""

from __future__ import annotations

from ipaddress import IPv6Network, ip_network
from typing import Final

from gateway.config.models.base import refusal

UNIX: Final = "unix"
"""Stands for every peer of a unix-domain socket, which has no address."""


def check_network(text: str) -> str:
    """Check an address, a network in CIDR form such as `10.0.0.0/8`, or `unix`; return it as it is."""
    if text == UNIX:
        return text
    try:
        network = ip_network(text)
    except ValueError:
        try:
            ip_network(text, strict=False)
        except ValueError:
            raise refusal("neither an ip address nor a network such as 10.0.0.0/8", text) from None
        raise refusal("network has bits set behind its prefix", text) from None
    if network.prefixlen == 0:
        raise refusal("network of every address: any peer could name any address as its own", text)
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise refusal("ipv4 addresses in ipv6 form are compared as ipv4: write the ipv4 network", text)
    return text
