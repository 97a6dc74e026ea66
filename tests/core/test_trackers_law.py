"""Whatever the line from the engine does: members get each publication once and in order, or are told."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from history_line import HistoryLine
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

Step = tuple[str, dict[str, Any]]

EXAMPLES = os.environ.get("GATEWAY_FUZZ_EXAMPLES")
"""How many random ones there are; without, some hundred that are always the same."""

FEW = st.integers(1, 4)
CALM = (
    st.tuples(st.just("publish"), st.fixed_dictionaries({"count": st.integers(1, 12)})),
    st.tuples(st.just("arrive"), st.fixed_dictionaries({"count": FEW})),
    st.tuples(st.just("answer"), st.fixed_dictionaries({"old": st.booleans()})),
    st.tuples(st.just("resume"), st.fixed_dictionaries({"back": st.integers(0, 12)})),
    st.tuples(st.just("arrive_again"), st.fixed_dictionaries({"back": FEW})),
)
ROUGH = (
    *CALM,
    st.tuples(st.just("answer"), st.fixed_dictionaries({"fail": st.booleans()})),
    st.tuples(st.just("lose"), st.fixed_dictionaries({"count": FEW})),
    st.tuples(st.just("arrive_late"), st.just({})),
    st.tuples(st.just("tell_gap"), st.just({})),
    st.tuples(st.just("begin_epoch"), st.just({})),
    st.tuples(st.just("join"), st.just({})),
    st.tuples(st.just("leave"), st.just({})),
)
ENGINES = st.fixed_dictionaries(
    {"size": st.integers(1, 8), "step": st.integers(1, 3), "forgetful": st.booleans()}
)


async def play(line: HistoryLine, steps: Sequence[Step]) -> None:
    """Take one step after the other, the first with a member that knows where the group is."""
    line.publish(3)
    line.join()
    await line.settle()
    line.answer()
    await line.settle()
    for name, arguments in steps:
        getattr(line, name)(**arguments)
        await line.settle()


@given(ENGINES, st.lists(st.one_of(*ROUGH), max_size=40))
@settings(deadline=None, max_examples=int(EXAMPLES or 400), derandomize=EXAMPLES is None)
def test_once_in_order_or_told(engine: dict[str, Any], steps: list[Step]) -> None:
    """Losses, repetitions, lags, resumes, answers that are old or none, and epochs that end, in any order."""

    async def run() -> None:
        line = HistoryLine(**engine)
        await play(line, steps)
        await line.end()

    asyncio.run(run())


@given(ENGINES, st.lists(st.one_of(*CALM), max_size=40))
@settings(deadline=None, max_examples=int(EXAMPLES or 200), derandomize=EXAMPLES is None)
def test_who_resumes_costs_nobody_anything(engine: dict[str, Any], steps: list[Step]) -> None:
    """Where nothing is lost members get everything and no word of a gap, however far this node lags."""

    async def run() -> None:
        line = HistoryLine(**engine)
        await play(line, steps)
        await line.end()
        first = line.members[0]
        assert None not in first.log
        assert [one.offset for one in first.log if one is not None] == line.published["e1"][3:]

    asyncio.run(run())
