"""The suites of the contract of history over a cluster, where each node listens at another server."""

# ruff: noqa: F401 - what is imported are tests

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from nodes import Side, some_history
from test_history import (
    TestBounds,
    TestIdempotency,
    TestReading,
    test_a_group_without_history,
    test_a_publication_is_kept_as_it_was_made,
    test_a_stopped_broker_keeps_nothing,
    test_any_text_names_a_group,
    test_offsets_grow,
    test_store_gives_the_position,
    test_stored_at_once,
)
from test_history_between_nodes import (
    test_a_repetition_on_another_node,
    test_beside_groups_without_history,
    test_each_node_gets_the_same,
    test_one_epoch_for_all,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from valkey_cluster import ValkeyCluster

    MakeSide = Callable[..., Awaitable[Side]]


@pytest.fixture
def make(cluster: ValkeyCluster, side: MakeSide) -> MakeSide:
    """A function that starts nodes of one gateway, each at the next server of the cluster."""
    settings = {"prefix": secrets.token_hex(4), "history_of": some_history, "idempotency_seconds": 1}
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
    """Two nodes with a member of `news` each."""
    one, two = await make("one"), await make("two")
    for node in (one, two):
        node.join("news")
    for node in (one, two):
        await node.settled()
    return one, two
