"""The suites of the contract over a cluster, where each node listens at another server."""

# ruff: noqa: F401 - what is imported are tests

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from test_between_nodes import (
    test_a_group_is_left_after_a_while,
    test_a_key_is_claimed_once_over_all_nodes,
    test_a_lost_connection_is_made_anew,
    test_a_node_without_members_receives_nothing,
    test_a_note_comes_to_every_node,
    test_a_publication_reaches_the_other_nodes_members,
    test_gateways_of_different_prefixes_do_not_hear_each_other,
    test_many_publications_at_once_are_no_message_that_is_too_big,
    test_notes_wait_for_a_connection,
    test_order_holds_over_groups,
    test_stopping_lets_go_what_waits,
    test_what_was_on_its_way_is_counted_as_unproved,
)
from test_contract import (
    test_a_broker_that_runs_is_up,
    test_a_claim_ends,
    test_a_group_is_received_until_it_is_left,
    test_a_key_is_claimed_once,
    test_a_note_comes_to_its_sender,
    test_a_publication_comes_as_it_was_made,
    test_a_publication_comes_once,
    test_a_stopped_broker_grants_no_claim,
    test_a_stopped_broker_takes_publications_without_an_error,
    test_publications_of_one_publisher_stay_in_order,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nodes import Side
    from valkey_cluster import ValkeyCluster

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture
def make(cluster: ValkeyCluster, side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway, each at the next server of the cluster."""
    settings = {"prefix": secrets.token_hex(4)}
    urls = list(cluster.urls)

    async def start(name: str = "one", **options: Any) -> Side:
        urls.append(urls.pop(0))
        return await side("valkey", name, urls=[urls[-1]], **{**settings, **options})

    return start


@pytest.fixture
async def node(make: MakeSide) -> Side:
    """A node."""
    return await make()


@pytest.fixture
async def pair(make: MakeSide) -> tuple[Side, Side]:
    """Two nodes of one gateway."""
    return await make("one"), await make("two")
