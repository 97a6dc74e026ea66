"""A node that does not read what its engine sends it, over any engine."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nodes import until

from gateway.broker.contract import Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from nodes import Side


async def learn_of_a_gap(
    one: Side, two: Side, transport: Any, size: int, was_cut_off: Callable[[], bool]
) -> None:
    """Have a node read nothing until its server cuts it off; see that it knows of what it missed.

    Args:
        one: A node that publishes.
        two: A node that gets it.
        transport: Where the second one receives.
        size: Of each publication, in characters.
        was_cut_off: Tells whether the server has cut it off.
    """
    two.join("news")
    await two.settled()
    transport.pause_reading()  # as if the loop were busy elsewhere
    published = 0

    def publish() -> None:
        nonlocal published
        one.broker.publish(Publication("news", str(published).ljust(size)))
        published += 1

    def publish_and_look() -> bool:
        for _ in range(max(1, 200_000 // size)):
            publish()
        return was_cut_off()

    await until(publish_and_look)
    transport.resume_reading()
    await until(lambda: two.gaps == 1)
    publish()
    seen: list[int] = []
    while published - 1 not in seen[-1:]:
        seen.append(int((await two.next()).message.split()[0]))
    assert seen == sorted(set(seen))
    assert [b - a > 1 for a, b in pairwise(seen)].count(True) == 1
    assert (two.status.reconnects, one.status.reconnects, two.gaps) == (1, 0, 1)
    assert one.status.publications_lost == 0
