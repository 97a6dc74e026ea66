"""Tests of how nodes are told of groups that may have lost something."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nodes import until

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.broker.losses import MOST_GROUPS, Losses


class Told:
    """What was told, by a node that takes no note that is `too_much`."""

    def __init__(self, too_much: Exception | None = None) -> None:
        self.notes: list[Any] = []
        self.otherwise = 0
        self.most_names = MOST_GROUPS
        self._too_much = too_much
        self.marked: list[str] = []
        loop = asyncio.get_running_loop()
        self.losses = Losses(loop, self._notify, self._otherwise, self.marked.append)

    def _notify(self, note: Any) -> int:
        if self._too_much is not None and len(note["groups"]) > self.most_names:
            raise self._too_much
        self.notes.append(note)
        return 1

    def _otherwise(self) -> None:
        self.otherwise += 1


async def test_losses_are_gathered() -> None:
    """One note names all groups, each once; the next one is another."""
    told = Told()
    told.losses.add(["b", "a"])
    told.losses.add(["a"])
    assert told.notes == []
    await until(lambda: bool(told.notes))
    assert told.notes == [{"order": "lost", "groups": ["a", "b"]}]
    assert told.marked == ["a", "b"]
    told.losses.add(["c"])
    told.losses.tell()
    assert told.notes[1:] == [{"order": "lost", "groups": ["c"]}]
    told.losses.tell()
    assert len(told.notes) == 2


@pytest.mark.parametrize(("groups", "named"), [(MOST_GROUPS, MOST_GROUPS), (MOST_GROUPS + 1, 0)])
async def test_many_groups_are_not_named(groups: int, named: int) -> None:
    """A note without names says that it may be any group."""
    told = Told()
    told.losses.add(str(number) for number in range(groups))
    told.losses.tell()
    assert [len(note["groups"]) for note in told.notes] == [named]


@pytest.mark.parametrize(
    "error", [MessageTooBigError(9, 8), ValueError("no text"), BrokerUnavailableError("full")]
)
async def test_names_that_cannot_travel_are_left_out(error: Exception) -> None:
    """A short note is better than none; and if there is none, anything may be lost."""
    told = Told(error)
    told.most_names = 0
    told.losses.add(["\ud800"])
    told.losses.tell()
    assert (told.notes, told.otherwise) == ([{"order": "lost", "groups": []}], 0)
    told.most_names = -1
    told.losses.add(["b"])
    told.losses.tell()
    assert (len(told.notes), told.otherwise) == (1, 1)


async def test_a_closed_one_tells_nothing_more() -> None:
    """No timer is left behind."""
    told = Told()
    told.losses.add(["a"])
    told.losses.close()
    assert told.losses._timer is None
