"""Tests of addresses: one form for each, and what counts as one client."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.address import format_address, group_of, parse_address, parse_node, peer_address


def read(text: str) -> str | None:
    """Read how a proxy names an address, and write it again."""
    packed = parse_node(text)
    return None if packed is None else format_address(packed)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1:_port", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:80", "192.0.2.1"),
        ("::", "::"),
        ("2001:db8::1:4711", "2001:db8::1:4711"),
    ],
)
def test_node(text: str, address: str) -> None:
    """Ports and brackets are taken off, and an address has one form."""
    assert read(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2",
        "192.0.2.1.5",
        "192.0.2.256",
        "192.0.2.01",
        "0x7f.0.0.1",
        "3221225985",
        "192.0.2.1:",
        "192.0.2.1:123456",
        "192.0.2.1:80:80",
        "192.0.2.1/24",
        "192.0.2.1 ",
        " 192.0.2.1",
        "192.0.2.1\x00",
        "192.0.2.1\n",
        "1٩2.0.2.1",
        "[192.0.2.1]",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]:",
        "[2001:db8::1]80",
        "2001:db8:::1",
        "fe80::1%eth0",
        "[fe80::1%25eth0]",
        "12345::",
        '"192.0.2.1"',
        "1" * 10_000,
    ],
)
def test_no_node(text: str) -> None:
    """What is no address is none, hidden and unknown ones included."""
    assert read(text) is None


@given(st.one_of(st.text(), st.text("0123456789abcdef:.[]%_"), st.from_regex(r"[0-9.:\[\]a-f]{0,50}")))
def test_node_is_an_address_or_nothing(text: str) -> None:
    """Whatever is read, it raises nothing and gives nothing but an address, in the form that it stays in."""
    address = read(text)
    if address is not None:
        assert not (isinstance(parsed := ip_address(address), IPv6Address) and parsed.ipv4_mapped)
        assert read(address) == address


@given(st.ip_addresses(), st.sampled_from(["{}", "{}:80", "{}:0"]))
def test_every_address_is_read(address: object, form: str) -> None:
    """Each address is read as itself, with a port and without."""
    packed = parse_node(form.format(f"[{address}]" if isinstance(address, IPv6Address) else address))
    assert packed is not None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    assert ip_address(packed) == (mapped or address)


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_group(address: str, group: str) -> None:
    """An IPv4 address stands for itself, and an IPv6 address for its network of 64 bits."""
    assert group_of(address) == group


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_group_is_the_first_half_of_an_ipv6_address(address: IPv6Address, other: int) -> None:
    """Addresses that differ in their last 64 bits are one client, and in their first ones are not."""
    neighbour = IPv6Address((int(address) >> 64 << 64) | other)
    stranger = IPv6Address(int(address) ^ 1 << 64)
    if not (address.ipv4_mapped or neighbour.ipv4_mapped or stranger.ipv4_mapped):
        assert group_of(str(address)) == group_of(str(neighbour)) != group_of(str(stranger))


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        (("192.0.2.1", 4711), "192.0.2.1"),
        (("::ffff:192.0.2.1", 4711, 0, 0), "192.0.2.1"),
        (("2001:db8::1", 4711, 0, 0), "2001:db8::1"),
        (("fe80::1%eth0", 4711, 0, 2), "fe80::1"),
        ("", "unix"),
        ("/run/gateway.sock", "unix"),
        (None, ""),
    ],
)
def test_peer(peer: object, address: str) -> None:
    """A client with IPv4 is one where the listener speaks IPv6, and a zone is no part of an address."""
    assert peer_address(SimpleNamespace(get_extra_info=lambda _: peer)) == address  # type: ignore[arg-type]


def test_addresses_of_two_lengths() -> None:
    """An IPv4 address has four bytes and an IPv6 address sixteen."""
    assert parse_address("1.2.3.4") == b"\1\2\3\4"
    assert parse_address("::1") == bytes(15) + b"\1"
    assert parse_address("1.2.3.4\x00") is None
