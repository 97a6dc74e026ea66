"""Questions to all nodes, and what they answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import Field, JsonValue

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.core.note_form import NodeName, NoteForm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from gateway.broker.contract import Note
    from gateway.core.node import Node

__all__ = ["Answer", "Answers", "Inquiries"]

ANSWER_SECONDS: Final = 1.0
"""Who has not answered after so long is silent."""

_AT_ONCE: Final = 100  # entries in one note: some 50 KB
_MOST_ENTRIES: Final = 10_000  # of one node in one answer
_MOST_UNDER_WAY: Final = 50

_Entry: TypeAlias = "dict[str, JsonValue]"


class Answer(NamedTuple):
    """What a node answers.

    Args:
        entries: What it has: plain data.
        facts: Numbers about all of them, by name.
    """

    entries: list[dict[str, Any]]
    facts: Mapping[str, int]


Subject: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Answer]]"
"""Answers for this node; may raise `ValueError` for details that make no sense."""


class Answers(NamedTuple):
    """What came of a question.

    Args:
        by_node: What each node has answered, by its name.
        silent: The nodes that are known and have not answered in time.
        complete: Whether nothing is missing: nobody is silent, and there is a link to the others.
    """

    by_node: Mapping[str, Answer]
    silent: list[str]
    complete: bool


class _Question(NoteForm, strict=True):
    """A node's question to all."""

    order: Literal["ask"] = "ask"
    node: NodeName
    number: int
    subject: NodeName
    details: _Entry


class _Part(NoteForm, strict=True):
    """A part of a node's answer."""

    order: Literal["answer"] = "answer"
    to: NodeName
    number: int
    node: NodeName
    entries: Annotated[list[_Entry], Field(max_length=_AT_ONCE)]
    facts: dict[str, int]
    last: bool
    sent: int
    """How many entries there were up to here, so that a lost part is noticed."""


class _Waiting:
    """A question whose answers come in.

    Args:
        missing: The nodes that have not answered.
    """

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.by_node: dict[str, Answer] = {}
        self.done = asyncio.Event()

    def take(self, part: _Part) -> None:
        """Take a part."""
        answer = self.by_node.setdefault(part.node, Answer([], {}))
        if len(answer.entries) < _MOST_ENTRIES:
            answer.entries.extend(part.entries)
        if part.last and len(answer.entries) >= min(part.sent, _MOST_ENTRIES):
            self.by_node[part.node] = answer._replace(facts=part.facts)
            self.missing.discard(part.node)
            if not self.missing:
                self.done.set()


class Inquiries:
    """What this node asks all, and what it answers.

    Question and answers travel as notes, an answer in parts.

    Args:
        node: The node.
    """

    __slots__ = ("_node", "_number", "_under_way", "_waiting", "others", "subjects")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._number = 0
        self._under_way = 0
        self._waiting: dict[int, _Waiting] = {}
        self.others: Callable[[], list[str]] = list
        """Gives the names of the other nodes that are known."""
        self.subjects: dict[str, Subject] = {}
        """What can be asked, by its name."""
        node.note_takers["ask"] = self._take_question
        node.note_takers["answer"] = self._take_answer

    async def ask(self, subject: str, details: Mapping[str, Any], seconds: float = ANSWER_SECONDS) -> Answers:
        """Ask all nodes, this one too, and wait until all have answered or so many seconds are over.

        Args:
            subject: About what.
            details: What more there is to say: plain data.
            seconds: How long to wait.

        Raises:
            ValueError: If the details make no sense.
        """
        node = self._node
        waiting = _Waiting(set(self.others()))
        connected = node.broker.status.connected
        if waiting.missing and connected:
            await self._ask_others(waiting, subject, details, seconds)
        else:
            waiting.by_node[node.name] = await self.subjects[subject](details)
        silent = sorted(waiting.missing)
        return Answers(
            {name: one for name, one in waiting.by_node.items() if name not in waiting.missing},
            silent,
            connected and not silent,
        )

    async def _ask_others(
        self, waiting: _Waiting, subject: str, details: Mapping[str, Any], seconds: float
    ) -> None:
        node = self._node
        self._number += 1
        number = self._number
        self._waiting[number] = waiting
        question = _Question(node=node.name, number=number, subject=subject, details=dict(details))
        try:
            async with asyncio.timeout(seconds):
                node.broker.notify(question.model_dump())
                waiting.by_node[node.name] = await self.subjects[subject](details)
                await waiting.done.wait()
        except (TimeoutError, BrokerUnavailableError, MessageTooBigError):
            if node.name not in waiting.by_node:
                waiting.by_node[node.name] = await self.subjects[subject](details)
        finally:
            del self._waiting[number]

    def _take_question(self, note: Note) -> int:
        """Answer another node's question, in a task of its own.

        Raises:
            ValueError: If it is none.
        """
        question = _Question.read(note, "a question")
        if question.node != self._node.name:
            if question.subject not in self.subjects:
                return 0  # one of a newer gateway
            if self._under_way < _MOST_UNDER_WAY:
                self._under_way += 1
                self._node.start_task(self._answer(question), name="answer")
        return 0

    async def _answer(self, question: _Question) -> None:
        try:
            try:
                entries, facts = await self.subjects[question.subject](question.details)
            except ValueError:
                return
            sent = 0
            for start in range(0, max(len(entries), 1), _AT_ONCE):
                last = start + _AT_ONCE >= len(entries)
                sent = self._say(question, entries[start : start + _AT_ONCE], facts, sent, last=last)
                await asyncio.sleep(0)
        finally:
            self._under_way -= 1

    def _say(
        self,
        question: _Question,
        entries: list[dict[str, Any]],
        facts: Mapping[str, int],
        sent: int,
        *,
        last: bool,
    ) -> int:
        """Send a part; give how many entries have been sent with it, of all."""
        part = _Part(
            to=question.node,
            number=question.number,
            node=self._node.name,
            entries=entries,
            facts=dict(facts),
            last=last,
            sent=sent + len(entries),
        )
        try:
            self._node.broker.notify(part.model_dump())
        except BrokerUnavailableError:
            pass  # the node counts as silent
        except (MessageTooBigError, ValueError):
            # In halves; one alone that cannot travel is left out.
            half = len(entries) // 2
            if half:
                sent = self._say(question, entries[:half], facts, sent, last=False)
            return self._say(question, entries[half:] if half else [], facts, sent, last=last)
        return sent + len(entries)

    def _take_answer(self, note: Note) -> int:
        """Take a part of an answer.

        Raises:
            ValueError: If it is none.
        """
        if note.get("to") != self._node.name:
            return 0
        part = _Part.read(note, "an answer")
        waiting = self._waiting.get(part.number)
        if waiting is not None:
            waiting.take(part)
        return 0
