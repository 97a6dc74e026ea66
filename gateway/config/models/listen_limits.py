"""Who may connect, how often, and from behind which proxies: keys of `listen:` on the opening handshake."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.models.base import UNIQUE, ConfigModel, Name, Number, WholeNumber
from gateway.config.models.networks import check_network

_MOST_CONNECTIONS = 10_000_000
_MOST_A_SECOND = 10_000_000


class ListenLimits(ConfigModel):
    """How many may connect to one node, how fast, and whose word on a client's address counts.

    What is counted by address is off unless set: many pages may come from one address, as from an office
    or from a proxy that `trusted_proxies` does not name, and they all come back at once after a restart.
    """

    max_connections: WholeNumber = Field(
        default=10_000,
        ge=1,
        le=_MOST_CONNECTIONS,
        description="Most connections that one node keeps open. Above it the answer is 503.",
    )
    max_connections_per_address: WholeNumber = Field(
        default=0,
        ge=0,
        le=_MOST_CONNECTIONS,
        description=(
            "Most connections to all nodes from one IPv4 address or IPv6 network of 64 bits. Above it the "
            "answer is 429. 0 sets no limit."
        ),
    )
    max_connections_per_user: WholeNumber = Field(
        default=0,
        ge=0,
        le=_MOST_CONNECTIONS,
        description=(
            "Most connections to all nodes with one identity's user. Above it the answer is 429. "
            "0 sets no limit."
        ),
    )
    handshakes_per_second: Number = Field(
        default=0,
        ge=0,
        le=_MOST_A_SECOND,
        description=(
            "Most opening handshakes a second at one node, over time. Above it the answer is 503. "
            "0 sets no rate."
        ),
    )
    handshake_burst: WholeNumber = Field(
        default=0,
        ge=0,
        le=_MOST_A_SECOND,
        description="Most opening handshakes at once within that rate. 0 stands for one second's worth.",
    )
    handshakes_per_second_per_address: Number = Field(
        default=0,
        ge=0,
        le=_MOST_A_SECOND,
        description=(
            "Most opening handshakes a second at one node from one IPv4 address or one IPv6 network of "
            "64 bits, over time. Above it the answer is 429. 0 sets no rate."
        ),
    )
    handshake_burst_per_address: WholeNumber = Field(
        default=0,
        ge=0,
        le=_MOST_A_SECOND,
        description="Most opening handshakes at once within that rate. 0 stands for one second's worth.",
    )
    max_handshakes: WholeNumber = Field(
        default=5000,
        ge=1,
        le=_MOST_CONNECTIONS,
        description=(
            "Most TCP connections whose request is not decided yet, TLS's own handshakes among them. "
            "Above it new ones are answered 503, or ended where TLS comes first, before anything is read."
        ),
    )
    max_handshakes_per_address: WholeNumber = Field(
        default=0,
        ge=0,
        le=_MOST_CONNECTIONS,
        description=(
            "Most of them from one peer, an IPv4 address or an IPv6 network of 64 bits; trusted proxies are "
            "not counted. Above it new ones are ended likewise, with 429. 0 sets no limit."
        ),
    )
    trusted_proxies: Annotated[tuple[Annotated[Name, AfterValidator(check_network)], ...], UNIQUE] = Field(
        default=(),
        description=(
            "Addresses and networks, as `10.0.0.0/8`, of the proxies whose word on a client's address "
            "counts; `unix` for whoever connects to a unix-domain socket. Default: none, and the peer of the "
            "TCP connection is the client."
        ),
    )
    proxy_header: Literal["x_forwarded_for", "forwarded"] = Field(
        default="x_forwarded_for",
        description=(
            "What trusted proxies write: `x_forwarded_for`, with X-Forwarded-Proto, or `forwarded`, the "
            "field of RFC 7239. The other is ignored. Default: `x_forwarded_for`."
        ),
    )
