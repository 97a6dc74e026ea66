"""Tests of publications under an idempotency key, to groups without history."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError, Publication
from gateway.broker.memory import MemoryBroker
from gateway.core.confirming import Confirmed, publish_confirmed
from gateway.core.doubts import Doubts

if TYPE_CHECKING:
    from gateway.broker.contract import Note

PUBLISHED = Confirmed(None, repeated=False, connections=1)
REPEATED = Confirmed(None, repeated=True, connections=0)


class Clock:
    """A clock that a test turns."""

    now = 1000.0

    def time(self) -> float:
        """Give the time."""
        return self.now


class Line(MemoryBroker):
    """A node's line to the engine of all nodes, which fails as a test says."""

    def __init__(self, engine: MemoryBroker, nodes: list[AnyNode]) -> None:
        super().__init__()
        self._engine = engine
        self._nodes = nodes
        self.status.connected = True
        self.claim_answers = True
        self.takes = True

    async def claim(self, key: str, seconds: float) -> bool:
        """Claim it, though perhaps nobody hears the answer."""
        answer = await self._engine.claim(key, seconds)
        if not self.claim_answers:
            raise BrokerUnavailableError("no answer in time")
        return answer

    def publish(self, publication: Publication) -> int:
        """Publish it, or refuse to."""
        if not self.takes:
            raise BrokerUnavailableError("too much waits to be sent")
        if publication.message == "big":
            raise MessageTooBigError(3, 2)
        return self._engine.publish(publication)

    def notify(self, note: Note) -> int:
        """Tell all nodes."""
        return sum(node.doubts.take(note) for node in self._nodes)


class AnyNode:
    """What a node has for this."""

    def __init__(self, engine: MemoryBroker, nodes: list[AnyNode], clock: Clock) -> None:
        nodes.append(self)
        self.trackers = SimpleNamespace(policy=lambda _: None)
        self.idempotency_seconds = 120.0
        self.clock = clock
        self.broker = Line(engine, nodes)
        self.doubts = Doubts(self)  # type: ignore[arg-type]

    async def publish(self, message: str = "m", key: str | None = "k") -> Confirmed:
        """Publish under a key."""
        node: Any = self
        return await publish_confirmed(node, Publication("plain", message), key)


class Two:
    """Two nodes of one engine, and what was published."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.engine = MemoryBroker(clock=self.clock.time)
        self.got: list[str | bytes] = []
        nodes: list[AnyNode] = []
        self.one, self.other = (AnyNode(self.engine, nodes, self.clock) for _ in range(2))

    def _deliver(self, publication: Publication) -> int:
        self.got.append(publication.message)
        return 1

    async def start(self) -> None:
        """Start the engine."""
        await self.engine.start(self._deliver, lambda _: 0, lambda: None)


@pytest.fixture
async def two() -> Two:
    """Two nodes."""
    made = Two()
    await made.start()
    return made


async def test_once(two: Two) -> None:
    """A key is good for one publication of its group, on whichever node; no key for any number."""
    assert await two.one.publish() == PUBLISHED
    assert await two.one.publish() == REPEATED
    assert await two.other.publish() == REPEATED
    assert await two.other.publish(key="l") == PUBLISHED
    assert await two.other.publish(key=None) == PUBLISHED
    assert await two.other.publish(key=None) == PUBLISHED
    assert len(two.got) == 4


async def fails_once(two: Two, how: str) -> None:
    """Have the first try at one node come to nothing."""
    setattr(two.one.broker, how, False)
    with pytest.raises(BrokerUnavailableError):
        await two.one.publish()
    setattr(two.one.broker, how, True)
    assert two.got == []


@pytest.mark.parametrize("how", ["claim_answers", "takes"])
@pytest.mark.parametrize("where", ["one", "other"])
async def test_tried_again(two: Two, how: str, where: str) -> None:
    """After an error of ours the next try publishes, at any node, and those after it do not."""
    await fails_once(two, how)
    assert await getattr(two, where).publish() == PUBLISHED
    assert [await node.publish() for node in (two.one, two.other, two.one)] == [REPEATED] * 3
    assert two.got == ["m"]


async def test_it_fails_again_and_again(two: Two) -> None:
    """However often it fails, the first try that does not is the only one that publishes."""
    for how in ("takes", "claim_answers", "claim_answers", "takes"):
        await fails_once(two, how)
    tries = await asyncio.gather(*(node.publish() for node in (two.one, two.other) * 5))
    assert sorted(tries) == sorted([PUBLISHED] + [REPEATED] * 9)
    assert two.got == ["m"]


async def test_a_claim_that_was_not_made(two: Two) -> None:
    """If the claim of the try that failed never arrived, one node alone publishes all the same."""
    two.one.doubts.doubt("5 plain k", 1, tell=True)
    tries = await asyncio.gather(two.one.publish(), two.other.publish(), two.one.publish())
    assert sorted(tries) == sorted([PUBLISHED, REPEATED, REPEATED])


async def test_a_caller_that_does_not_wait(two: Two) -> None:
    """Who is cancelled while the claim is under way may try again."""
    real = two.one.broker.claim

    async def claim(key: str, seconds: float) -> bool:
        await real(key, seconds)
        await asyncio.Event().wait()
        raise AssertionError

    two.one.broker.claim = claim  # type: ignore[method-assign]
    task = asyncio.ensure_future(two.one.publish())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await two.other.publish() == PUBLISHED


async def test_too_big(two: Two) -> None:
    """A message that cannot travel does not use its key up."""
    with pytest.raises(MessageTooBigError):
        await two.one.publish("big")
    assert await two.one.publish("small") == PUBLISHED
    assert two.got == ["small"]


async def test_as_long_as_after_a_success(two: Two) -> None:
    """The key of a try that came late is known for its whole time, and no longer."""
    await fails_once(two, "takes")
    two.clock.now += 119
    assert await two.one.publish() == PUBLISHED
    two.clock.now += 119
    assert await two.other.publish() == REPEATED
    assert await two.one.publish() == REPEATED
    two.clock.now += 2
    assert await two.one.publish() == PUBLISHED


@pytest.mark.parametrize("note", [{}, {"order": "unpublished", "name": "x", "tries": 1}])
async def test_no_note(two: Two, note: dict[str, Any]) -> None:
    """What is no such note is refused."""
    with pytest.raises(ValueError, match="not a note"):
        two.one.doubts.take(note)
