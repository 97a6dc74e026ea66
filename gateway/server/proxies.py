"""Trusted proxies: whose word on a client's address counts, and how it is read.

Each proxy adds, at the right end, the address from which it was asked; what stands further left came
from there, and may be the client's own invention. So the reading goes from the right, for as long as
whoever wrote an entry is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from gateway.config.models.networks import UNIX
from gateway.server.address import format_address, parse_address, parse_node

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Client", "TrustedProxies"]

Fields: TypeAlias = Mapping[str, list[str]]
# How an entry names the address, and the scheme that it names, if any.
Entry: TypeAlias = tuple[str, str | None]

_MOST_PROXIES: Final = 32  # in a row, which is more than anyone has
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# An element of RFC 7239 section 4, and the comma before it, written backwards. Escapes, which no address
# needs, are not read. The repeats give nothing back, so that the work is linear.
_ELEMENT_BACKWARDS: Final = re.compile(r"""([^",\\]*+(?:"[^"\\]*+"[^",\\]*+)*+)(?:,|\Z)""")
# An unquoted value may hold what should have been quoted: some proxies write ports and brackets so.
_PAIR: Final = re.compile(r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"([^"\\]*)"|([^\s",;=\\]+))""")


class Client(NamedTuple):
    """Who is at the other end.

    Args:
        address: IP address.
        scheme: `http` or `https`, as the client spoke it; `None` if no trusted proxy says.
    """

    address: str
    scheme: str | None = None


class TrustedProxies:
    """The networks of trusted proxies, and the field in which they name clients.

    Args:
        networks: In CIDR form, or `unix` for the peers of a unix-domain socket; none at all trust nobody.
        header: `x_forwarded_for` or `forwarded`.
    """

    def __init__(self, networks: Sequence[str], header: str) -> None:
        self._networks = tuple(
            (len(network.network_address.packed), int(network.network_address), int(network.netmask))
            for network in (ip_network(text) for text in networks if text != UNIX)
        )
        self._unix = UNIX in networks
        self._header = header

    def trusts(self, address: str) -> bool:
        """Tell whether an address is a trusted proxy's."""
        if address == UNIX:
            return self._unix
        parsed = parse_address(address)
        return parsed is not None and self._has(parsed)

    def _has(self, packed: bytes) -> bool:
        number = int.from_bytes(packed)
        return any(len(packed) == size and number & mask == start for size, start, mask in self._networks)

    def client(self, peer: str, fields: Fields) -> Client:
        """Give the client for whom a peer asks: the peer itself, unless that is a trusted proxy.

        Args:
            peer: The address of the TCP connection's other end.
            fields: Values of the request's fields by lower-case name.
        """
        if not self.trusts(peer):
            return Client(peer)
        if self._header == "forwarded":
            entries, scheme = _forwarded(fields.get("forwarded", [])), None
        else:
            entries = _x_forwarded_for(fields.get("x-forwarded-for", []))
            scheme = _last_scheme(fields.get("x-forwarded-proto", []))
        address = peer
        for node, proto in islice(entries, _MOST_PROXIES):
            if proto is not None:
                scheme = _SCHEMES.get(proto.lower(), scheme)
            parsed = parse_node(node)
            if parsed is None:
                break
            address = format_address(parsed)
            if not self._has(parsed):
                break
        return Client(address, scheme)


def _x_forwarded_for(values: Sequence[str]) -> Iterator[Entry]:
    """Give the entries from the right; several fields are one list in their order."""
    for value in reversed(values):
        rest, comma = value, ","
        while comma:
            rest, comma, node = rest.rpartition(",")
            yield node.strip(" \t"), None


def _last_scheme(values: Sequence[str]) -> str | None:
    """Give the scheme in X-Forwarded-Proto; of a list, the peer's own word, which is the last."""
    return _SCHEMES.get(values[-1].rpartition(",")[2].strip(" \t").lower()) if values else None


def _forwarded(values: Sequence[str]) -> Iterator[Entry]:
    """Give the elements of RFC 7239 from the right, up to one that is malformed.

    Backwards, since a quotation mark of the client's own, further left, would else swallow all that
    proxies have added.
    """
    for value in reversed(values):
        backwards = value[::-1]
        begin = 0
        while begin <= len(backwards):
            element = _ELEMENT_BACKWARDS.match(backwards, begin)
            pairs = _pairs(element[1][::-1]) if element is not None else None
            if element is None or pairs is None:
                yield "", None
                return
            yield pairs.get("for", ""), pairs.get("proto")
            if element.end() == len(backwards) and not element[0].endswith(","):
                break
            begin = element.end()


def _pairs(element: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for part in element.split(";"):
        text = part.strip(" \t")
        if not text:
            continue
        pair = _PAIR.fullmatch(text)
        name = pair[1].lower() if pair is not None else ""
        if pair is None or name in found:
            return None
        found[name] = pair[2] if pair[2] is not None else pair[3]
    return found
