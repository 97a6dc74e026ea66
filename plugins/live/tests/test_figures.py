"""The figures of a node, apart from routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from gateway_live.figures import Feed, Figures
from gateway_live.messages import FIELDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway import Node
    from gateway.testing import Served

NO_ROUTE = "plugins: {live: {enabled: false}}\nroutes: []\n"


@pytest_asyncio.fixture
async def node(serve_gateway: Callable[..., Awaitable[Served]]) -> Node:
    """A node on which nothing samples by itself."""
    return (await serve_gateway(NO_ROUTE)).node


async def test_sample_has_every_figure_in_order(node: Node) -> None:
    """A snapshot's rows rest on the order of the fields."""
    assert tuple(Figures(node).newest()) == FIELDS


async def test_figures_are_within_their_bounds(node: Node) -> None:
    """Percentages are percentages, and the machine uses some memory."""
    sample = Figures(node).newest()
    assert 0 <= sample["cpu_percent"] <= 100
    assert 0 < sample["memory_percent"] <= 100
    assert sample["memory_bytes"] > 0
    assert sample["connections"] == 0


async def test_one_node_has_one_set_of_figures(node: Node) -> None:
    """Handler and blueprint share them until the node stops."""
    figures = Figures.of(node)
    assert Figures.of(node) is figures
    Figures.forget(node)
    assert Figures.of(node) is not figures
    Figures.forget(node)


async def test_demand_without_feeds_is_bounded(node: Node) -> None:
    """Polls that come together share a sample, though nothing samples by itself."""
    figures = Figures(node)
    assert figures.newest() is figures.newest()


async def test_shortest_interval_holds(node: Node) -> None:
    """The interval follows the feeds as they come and go."""
    figures = Figures(node)
    slow, quick = Feed("slow", 60, 0), Feed("quick", 30, 0)
    intervals = [figures.interval_seconds]
    for change, feed in (
        (figures.add_feed, slow),
        (figures.add_feed, quick),
        (figures.remove_feed, quick),
        (figures.remove_feed, slow),
    ):
        change(feed)
        intervals.append(figures.interval_seconds)
    assert intervals == [None, 60, 30, 60, None]


async def test_recent_are_the_last(node: Node) -> None:
    """The history is bounded by the feed that wants most, and each reader takes its share."""
    figures = Figures(node)
    figures.add_feed(Feed("a", 3600, 3))
    for _ in range(5):
        figures._take()  # noqa: SLF001 - a sample without the wait for it
    assert [sample["number"] for sample in figures.recent(10)] == [3, 4, 5]
    assert [sample["number"] for sample in figures.recent(2)] == [4, 5]
    assert figures.recent(0) == []
