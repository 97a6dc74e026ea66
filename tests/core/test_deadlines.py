"""Tests of deadlines: each item expires once, in its time, and not if it was ended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.core.deadlines import Deadlines

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_items_expire_in_the_order_of_their_beginning(until: Callable) -> None:
    """Every item expires, once; one that was ended does not."""
    expired: list[str] = []
    deadlines: Deadlines[str] = Deadlines(asyncio.get_running_loop(), 0.02, expired.append)
    for item in ("a", "b", "c"):
        deadlines.begin(item)
    deadlines.end("b")
    deadlines.end("not in")
    assert "a" in deadlines
    await until(lambda: len(expired) == 2)
    assert expired == ["a", "c"]
    assert len(deadlines) == 0


async def test_beginning_again_starts_anew(until: Callable) -> None:
    """An item that begins again goes behind those that have begun since."""
    expired: list[str] = []
    deadlines: Deadlines[str] = Deadlines(asyncio.get_running_loop(), 0.02, expired.append)
    deadlines.begin("a")
    deadlines.begin("b")
    deadlines.begin("a")
    await until(lambda: len(expired) == 2)
    assert expired == ["b", "a"]


async def test_expiry_that_changes_the_items(until: Callable) -> None:
    """An expiry may end a later item and begin another one."""
    expired: list[str] = []

    def expire(item: str) -> None:
        expired.append(item)
        if item == "a":
            deadlines.end("b")
            deadlines.begin("c")

    deadlines: Deadlines[str] = Deadlines(asyncio.get_running_loop(), 0.02, expire)
    deadlines.begin("a")
    deadlines.begin("b")
    await until(lambda: "c" in expired)
    assert expired == ["a", "c"]


async def test_close_lets_everything_go() -> None:
    """After closing nothing expires, and no timer is left."""
    deadlines: Deadlines[str] = Deadlines(asyncio.get_running_loop(), 0.0, lambda _: None)
    deadlines.begin("a")
    deadlines.close()
    assert len(deadlines) == 0
    assert deadlines._timer is None
