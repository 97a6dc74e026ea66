"""Tests of trusted proxies: whose word on a client's address counts."""

from __future__ import annotations

import sys
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.proxies import Client, TrustedProxies

NETWORKS = ("10.0.0.0/8", "192.0.2.1", "2001:db8:ffff::/48")
PROXY = "10.0.0.1"


@pytest.fixture
def by_x() -> TrustedProxies:
    """Proxies that write X-Forwarded-For."""
    return TrustedProxies(NETWORKS, "x_forwarded_for")


@pytest.fixture
def by_forwarded() -> TrustedProxies:
    """Proxies that write Forwarded."""
    return TrustedProxies(NETWORKS, "forwarded")


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("192.0.2.1", True),
        ("192.0.2.2", False),
        ("2001:db8:ffff:1::1", True),
        ("2001:db8:fffe::1", False),
        ("::ffff:10.0.0.1", True),
        ("::a00:1", False),  # the number of 10.0.0.1, in IPv6
        ("", False),
        ("localhost", False),
    ],
)
def test_trust(by_x: TrustedProxies, address: str, trusted: bool) -> None:
    """An address is trusted if a network has it."""
    assert by_x.trusts(address) is trusted


def test_nobody_is_trusted_unless_named() -> None:
    """Without networks the peer is the client, whatever it says."""
    for header in ("x_forwarded_for", "forwarded"):
        fields = {
            "x-forwarded-for": ["1.2.3.4"],
            "forwarded": ["for=1.2.3.4"],
            "x-forwarded-proto": ["https"],
        }
        assert TrustedProxies((), header).client(PROXY, fields) == Client(PROXY, None)


def test_peers_without_an_address() -> None:
    """Peers of a unix-domain socket are trusted where `unix` is listed, and nobody else is by that."""
    fields = {"x-forwarded-for": ["1.2.3.4"]}
    by_unix = TrustedProxies(("unix",), "x_forwarded_for")
    assert by_unix.client("unix", fields) == Client("1.2.3.4")
    assert by_unix.client(PROXY, fields) == Client(PROXY)
    assert by_unix.client("unix", {"x-forwarded-for": ["1.2.3.4, unix"]}) == Client("unix")
    assert TrustedProxies(NETWORKS, "x_forwarded_for").client("unix", fields) == Client("unix")


@pytest.mark.parametrize(
    ("values", "address"),
    [
        ([], PROXY),
        ([""], PROXY),
        (["1.2.3.4"], "1.2.3.4"),
        (["  1.2.3.4\t"], "1.2.3.4"),
        (["1.2.3.4:4711"], "1.2.3.4"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["2001:DB8::0:1"], "2001:db8::1"),
        (["::ffff:1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),  # what stands left of the client is the client's invention
        (["10.0.0.9, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.0.0.9, 192.0.2.1"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4", "10.0.0.9"], "1.2.3.4"),  # several fields are one list
        (["6.6.6.6, 1.2.3.4", "10.0.0.9,10.0.0.8"], "1.2.3.4"),
        (["10.0.0.7, 10.0.0.8"], "10.0.0.7"),  # all are trusted: the furthest
        (["1.2.3.4,"], PROXY),
        (["1.2.3.4, unknown"], PROXY),
        (["1.2.3.4, _hidden, 10.0.0.9"], "10.0.0.9"),  # the last good one holds
        (["1.2.3.4, 10.0.0.9 10.0.0.8"], PROXY),
        (["1.2.3.4, , 10.0.0.9"], "10.0.0.9"),
        (['"1.2.3.4"'], PROXY),
        (["for=1.2.3.4"], PROXY),
        (["1.2.3.4;10.0.0.9"], PROXY),
    ],
)
def test_x_forwarded_for(by_x: TrustedProxies, values: list[str], address: str) -> None:
    """It is read from the right, to the first address that is no trusted proxy's, or to what is none."""
    assert by_x.client(PROXY, {"x-forwarded-for": values}) == Client(address, None)


@pytest.mark.parametrize(
    ("values", "client"),
    [
        ([], Client(PROXY)),
        ([""], Client(PROXY)),
        (["for=1.2.3.4"], Client("1.2.3.4")),
        (["For=1.2.3.4;Proto=HTTPS;by=10.0.0.1"], Client("1.2.3.4", "https")),
        (['for="1.2.3.4:4711" ; proto="http"'], Client("1.2.3.4", "http")),
        (['for="[2001:db8::1]:4711";proto=wss'], Client("2001:db8::1", "https")),
        (["for=[2001:db8::1]:80"], Client("2001:db8::1")),  # unquoted, as some write it
        (["for=6.6.6.6, for=1.2.3.4"], Client("1.2.3.4")),
        (["for=6.6.6.6", "for=1.2.3.4;proto=https, for=10.0.0.9;proto=http"], Client("1.2.3.4", "https")),
        (["for=1.2.3.4, for=10.0.0.9;proto=http"], Client("1.2.3.4", "http")),
        (["for=10.0.0.9"], Client("10.0.0.9")),
        (["for=1.2.3.4;host=a;secret=b;;"], Client("1.2.3.4")),
        (["for=1.2.3.4;proto=gopher"], Client("1.2.3.4")),
        (["for=1.2.3.4, for=unknown;proto=https"], Client(PROXY, "https")),
        (["for=1.2.3.4, for=_hidden"], Client(PROXY)),
        (["for=1.2.3.4, proto=https"], Client(PROXY, "https")),
        (["for=1.2.3.4;for=6.6.6.6"], Client(PROXY)),  # a parameter comes once
        (["for=1.2.3.4;FOR=1.2.3.4"], Client(PROXY)),
        (["for=1.2.3.4 for=6.6.6.6"], Client(PROXY)),
        (["for = 1.2.3.4"], Client(PROXY)),
        (["for=1.2.3.4,"], Client(PROXY)),
        (["1.2.3.4"], Client(PROXY)),
        (['for="1.2.3.4'], Client(PROXY)),
        (['for=1.2.3.4"'], Client(PROXY)),
        (['for="1.2.3.\\4"'], Client(PROXY)),  # no address needs an escape
        (['for="6.6.6.6, for=1.2.3.4'], Client("1.2.3.4")),  # the client's quotation mark swallows nothing
        (['for="', 'for="[2001:db8::1]"'], Client("2001:db8::1")),
        (['for=\\", for="1.2.3.4"'], Client("1.2.3.4")),
        (
            ['for=6.6.6.6;x=", for=1.2.3.4;x="'],
            Client(PROXY),
        ),  # a proxy that lets its client write into its own
        (['x="a,b;c", for=10.0.0.9'], Client("10.0.0.9")),
    ],
)
def test_forwarded(by_forwarded: TrustedProxies, values: list[str], client: Client) -> None:
    """Its elements are read from the right likewise; the scheme is that of the last one read."""
    assert by_forwarded.client(PROXY, {"forwarded": values}) == client


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (["https"], "https"),
        (["HTTP"], "http"),
        (["wss"], "https"),
        (["ws"], "http"),
        (["http, https"], "https"),  # the peer's own word
        (["http", "https"], "https"),
        (["https,"], None),
        (["on"], None),
        ([""], None),
        ([], None),
    ],
)
def test_scheme(by_x: TrustedProxies, values: list[str], scheme: str | None) -> None:
    """X-Forwarded-Proto tells the scheme, if it is one."""
    fields = {"x-forwarded-for": ["1.2.3.4"], "x-forwarded-proto": values}
    assert by_x.client(PROXY, fields) == Client("1.2.3.4", scheme)


def test_one_field_only(by_x: TrustedProxies, by_forwarded: TrustedProxies) -> None:
    """The field that is not chosen is ignored, and so is everything else that names an address."""
    others = {
        "x-real-ip": ["6.6.6.6"],
        "x-client-ip": ["6.6.6.6"],
        "x-forwarded": ["for=6.6.6.6"],
        "x-forwarded-host": ["example.com"],
        "via": ["1.1 6.6.6.6"],
    }
    assert by_x.client(PROXY, {**others, "forwarded": ["for=6.6.6.6;proto=https"]}) == Client(PROXY)
    fields = {**others, "x-forwarded-for": ["6.6.6.6"], "x-forwarded-proto": ["https"]}
    assert by_forwarded.client(PROXY, fields) == Client(PROXY)


def test_peer_that_is_not_trusted(by_x: TrustedProxies, by_forwarded: TrustedProxies) -> None:
    """A client that writes the fields itself, and names a proxy even, is nobody but itself."""
    fields = {
        "x-forwarded-for": ["10.0.0.1", "1.2.3.4"],
        "forwarded": ["for=1.2.3.4;proto=https"],
        "x-forwarded-proto": ["https"],
    }
    for proxies in (by_x, by_forwarded):
        assert proxies.client("6.6.6.6", fields) == Client("6.6.6.6")


def test_endless_chain(by_x: TrustedProxies, by_forwarded: TrustedProxies) -> None:
    """Of endless trusted proxies some are read, and the last of these holds."""
    assert (
        by_x.client(PROXY, {"x-forwarded-for": ["1.2.3.4, " + "10.0.0.9," * 99 + "10.0.0.9"]}).address
        == "10.0.0.9"
    )
    values = ["for=1.2.3.4", *["for=10.0.0.9"] * 100]
    assert by_forwarded.client(PROXY, {"forwarded": values}).address == "10.0.0.9"


def count_calls(proxies: TrustedProxies, fields: dict[str, list[str]]) -> int:
    """Count the calls that finding the client makes, into Python and into C: its cost without a clock."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        proxies.client(PROXY, fields)
    finally:
        sys.setprofile(before)
    return count


ENTRY = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(
        ["10.0.0.9", "[::1]:80", "unknown", "_x", '"', "\\", "for=10.0.0.9", 'for="[::1]"', ";", ""]
    ),
    st.text(st.characters(max_codepoint=255), max_size=20),
)
VALUES = st.lists(st.lists(ENTRY, max_size=5).map(",".join), max_size=4)


@given(VALUES, VALUES, st.one_of(st.just(PROXY), ENTRY))
def test_client_is_an_address(forwarded: list[str], schemes: list[str], peer: str) -> None:
    """Whatever comes, nothing is raised, and the client is the peer or an address."""
    for header in ("x_forwarded_for", "forwarded"):
        fields = {"x-forwarded-for": forwarded, "forwarded": forwarded, "x-forwarded-proto": schemes}
        client = TrustedProxies(NETWORKS, header).client(peer, fields)
        if client.address != peer:
            ip_address(client.address)
        assert client.scheme in {None, "http", "https"}


@given(VALUES, st.ip_addresses(v=4).map(str))
def test_nothing_further_left_matters(invented: list[str], address: str) -> None:
    """Whatever a client writes, what the proxy adds behind it is what counts."""
    for header, field, entry in (
        ("x_forwarded_for", "x-forwarded-for", address),
        ("forwarded", "forwarded", f'for="{address}:4711";proto=https'),
    ):
        proxies = TrustedProxies((PROXY,), header)
        if address == PROXY:
            continue
        for values in ([*invented, entry], [*invented[:-1], ", ".join([*invented[-1:], entry])]):
            assert proxies.client(PROXY, {field: values}).address == address


@pytest.mark.parametrize(
    "text",
    ['"', ",", ";", "a=b;", "for=10.0.0.1,", "10.0.0.1,", 'for="', '\\"', " ", "\t,"],
)
def test_work_is_bounded(by_x: TrustedProxies, by_forwarded: TrustedProxies, text: str) -> None:
    """A field of eight times the length costs about eight times the calls at most."""
    for proxies, name in ((by_x, "x-forwarded-for"), (by_forwarded, "forwarded")):
        short, long = (count_calls(proxies, {name: [text * (size // len(text))]}) for size in (1024, 8192))
        assert long <= 8 * short + 50
