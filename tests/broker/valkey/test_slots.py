"""Tests of the map of a cluster's slots."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.broker.channels import Channels
from gateway.broker.link import LinkError
from gateway.broker.valkey.connection import Address
from gateway.broker.valkey.history import ValkeyHistory
from gateway.broker.valkey.slots import SlotMap
from gateway.config import ValkeyBrokerConfig

HERE = Address("::1", 6379)


def a_part(first: int, last: int, name: bytes, host: bytes | None = b"10.0.0.1") -> list[Any]:
    """Give a part of what CLUSTER SLOTS answers; a replica stands behind the primary."""
    return [first, last, [host, 7000, name, [b"hostname", b"x"]], [b"10.0.0.9", 7001, b"replica", []]]


def test_each_slot_has_its_primary() -> None:
    """In however many parts, the first and the last slot too; replicas are left out."""
    found = SlotMap([a_part(0, 5, b"a"), a_part(7, 16383, b"b"), a_part(6, 6, b"a")], HERE)
    assert found.addresses == {b"a": ("10.0.0.1", 7000), b"b": ("10.0.0.1", 7000)}
    # Keys of these slots, as `CLUSTER KEYSLOT` of a server says.
    for key, slot in {
        "3560": 0,
        "x{4384}y": 6,
        "{41432}{4384}": 7,
        "{}{4384}": 13892,
        "39296": 16383,
    }.items():
        assert found.primary(key) == (b"a" if slot < 7 else b"b")


def test_a_hole_is_an_error() -> None:
    """A cluster that does not have all slots is none to be used."""
    with pytest.raises(LinkError, match="no server of the cluster has 2 of its 16384 slots"):
        SlotMap([a_part(0, 99, b"a"), a_part(101, 16382, b"b")], HERE)


@pytest.mark.parametrize("host", [b"", None])
def test_a_server_that_does_not_know_its_name(host: bytes | None) -> None:
    """It is where the one that was asked is."""
    address = SlotMap([a_part(0, 16383, b"a", host)], HERE).addresses[b"a"]
    assert address == ("::1", 7000)
    assert str(address) == "[::1]:7000"


def test_who_loses_slots() -> None:
    """Who has fewer, or others; not who has only gained some."""
    before = SlotMap([a_part(0, 99, b"a"), a_part(100, 199, b"b"), a_part(200, 16383, b"c")], HERE)
    after = SlotMap([a_part(0, 99, b"a"), a_part(100, 198, b"b"), a_part(199, 16383, b"c")], HERE)
    assert before.losing(before) == set()
    assert before.losing(after) == {b"b"}


@pytest.mark.parametrize("group", ["", "{}", "{a}b", "}{", "a.b", "世界", "n" * 10_000, "\ud800"])
def test_all_keys_of_a_group_have_one_slot(group: str) -> None:
    """No group's name reaches into what stands between the braces."""
    config = ValkeyBrokerConfig.model_validate({"type": "valkey", "urls": ["valkey://x"]})
    history = ValkeyHistory(config)
    facts, entries = history._keys(Channels(config.prefix, "node").of_group(group))
    tag = facts.removeprefix("gateway.history.{").removesuffix("}")
    assert tag.replace("-", "a").replace("_", "a").isalnum()
    assert (facts, entries) == (f"gateway.history.{{{tag}}}", f"gateway.history.{{{tag}}}.entries")
