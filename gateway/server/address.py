"""Addresses of clients: one form for comparing, and what counts as one client."""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING, Final

from gateway.config.models.networks import UNIX

if TYPE_CHECKING:
    import asyncio

__all__ = ["format_address", "group_of", "parse_address", "parse_node", "peer_address"]

# RFC 7239 section 6, leniently: an IPv6 address may come without brackets where no port follows.
_NODE: Final = re.compile(
    r"(?:\[(?=[0-9a-fA-F]{0,4}:)([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]{1,32}))?"
    r"|([0-9A-Fa-f:.]{2,45})"
)
_IPV4_BYTES: Final = 4
_MAPPED: Final = b"\0" * 10 + b"\xff\xff"  # RFC 4291 section 2.5.5.2
_NETWORK_BYTES: Final = 8  # /64, the least that a site has (RFC 6177): whoever is in it has all of it


def parse_address(text: str) -> bytes | None:
    """Give the bytes of an IP address; `None` if it is none. One of IPv4 in IPv6 form is given as IPv4."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):  # the latter where it could be no text of C
        return None
    return packed.removeprefix(_MAPPED)


def format_address(packed: bytes) -> str:
    """Write what `parse_address` gives; one address is always written the same."""
    return inet_ntop(AF_INET if len(packed) == _IPV4_BYTES else AF_INET6, packed)


def parse_node(text: str) -> bytes | None:
    """Read how a proxy names an address, with or without a port; `None` for anything else.

    RFC 7239 section 6 lets proxies write `unknown`, or a name of their own, instead: those are `None` too.
    """
    match = _NODE.fullmatch(text)
    return parse_address(match[1] or match[2] or match[3]) if match is not None else None


def peer_address(transport: asyncio.BaseTransport) -> str:
    """Give the address of a transport's peer, without the zone of RFC 4007; empty if it is not known.

    The peers of a unix-domain socket have none: it is `unix` for all.
    """
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return "" if peer is None else UNIX
    address = str(peer[0])
    if ":" not in address:
        return address
    packed = parse_address(address.partition("%")[0])
    return address if packed is None else format_address(packed)


def group_of(address: str) -> str:
    """Give what counts as one client: an IPv4 address, or the IPv6 network of 64 bits around an address."""
    if ":" not in address:
        return address
    packed = parse_address(address)
    if packed is None or len(packed) == _IPV4_BYTES:
        return address
    return f"{format_address(packed[:_NETWORK_BYTES] + bytes(_NETWORK_BYTES))}/64"
