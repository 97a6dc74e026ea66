from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.channels import Channels

ANY_TEXT = st.text(st.characters(codec=None), max_size=400)
CHANNELS = Channels("gateway", "12-ab")


@given(ANY_TEXT, ANY_TEXT)
def test_different_groups_have_different_channels(one: str, two: str) -> None:
    """A group has one channel, and no other group has it."""
    assert (CHANNELS.of_group(one) == CHANNELS.of_group(two)) == (one == two)


@given(ANY_TEXT)
def test_a_channel_is_made_of_safe_characters(group: str) -> None:
    """Whatever a group is called, its channel is short, has three parts, and is none of the gateway's own."""
    channel = CHANNELS.of_group(group)
    assert re.fullmatch(r"gateway\.group\.[nh][A-Za-z0-9_-]*", channel)
    assert len(channel) < 400
    assert channel not in {CHANNELS.notices, CHANNELS.probe}


def test_a_long_name_is_hashed() -> None:
    """Up to 250 bytes the name itself can be read from the channel."""
    assert CHANNELS.of_group("x" * 250).startswith("gateway.group.n")
    assert CHANNELS.of_group("x" * 251).startswith("gateway.group.h")
    assert CHANNELS.of_group("room") == "gateway.group.ncm9vbQ"


def test_texts_that_no_encoding_has_are_told_apart() -> None:
    """Halves of pairs, which the JSON of a token can hold, are different groups, and none is another's."""
    assert len({CHANNELS.of_group(group) for group in ("\ud800", "\udfff", "?", "\ufffd")}) == 4


def test_each_node_has_a_probe_of_its_own() -> None:
    """Two nodes, and two gateways, do not answer each other's probes."""
    probes = {Channels(prefix, node).probe for prefix in ("a", "b") for node in ("1.x", "2 *")}
    assert len(probes) == 4
    assert all(re.fullmatch(r"[ab]\.probe\.[A-Za-z0-9_-]+", probe) for probe in probes)
