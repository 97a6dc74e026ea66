"""Which tries to publish under an idempotency key came to nothing, or may have, though the key is claimed."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError
from gateway.core.note_form import NoteForm

if TYPE_CHECKING:
    from gateway.broker.contract import Note
    from gateway.core.node_calls import NodeCalls

__all__ = ["Doubts"]

_MOST: Final = 100_000
"""Most keys that are known; some 25 MB. The ones that were named first go first."""


class _Unpublished(NoteForm, strict=True):
    """A node's word that tries under a key are not to count."""

    order: Literal["unpublished"]
    name: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    tries: Annotated[int, Field(ge=0, le=1_000_000)]


class Doubts:
    """How many tries under each key are not to count, as far as nodes have told each other.

    A key is claimed before its message is published, so that it is published once. If the claim's answer
    does not come, or the broker does not take the message then, nobody has got it, and the key may be claimed
    all the same. Whoever tries again claims the key of the next try, so that of all who do one publishes.

    Args:
        node: The node.
    """

    __slots__ = ("_known", "_node")

    def __init__(self, node: NodeCalls) -> None:
        self._node = node
        self._known: dict[str, tuple[float, int]] = {}  # in the order of their ends

    def tries(self, name: str) -> int:
        """Give how many tries under a key are not to count; from the next one on, a claim counts."""
        return self._tries(_digest(name))

    def _tries(self, digest: str) -> int:
        known = self._known.get(digest)
        return 0 if known is None or known[0] <= self._node.clock.time() else known[1]

    def doubt(self, name: str, tries: int, *, tell: bool) -> None:
        """Let the first tries under a key count no more, for as long as a key is known.

        Args:
            name: The key, and where it belongs.
            tries: How many.
            tell: Whether other nodes are to hear of it, once they can.
        """
        digest = _digest(name)
        self._note(digest, tries)
        if tell:
            # While too much waits to be sent, they do not hear of it.
            with suppress(BrokerUnavailableError, MessageTooBigError):
                self._node.broker.notify({"order": "unpublished", "name": digest, "tries": tries})

    def take(self, note: Note) -> int:
        """Take a node's word; it is about no connection.

        Raises:
            ValueError: If it is none.
        """
        word = _Unpublished.read(note, "a note of what was not published")
        self._note(word.name, word.tries)
        return 0

    def _note(self, digest: str, tries: int) -> None:
        known = self._known
        now = self._node.clock.time()
        tries = max(tries, self._tries(digest))
        known.pop(digest, None)
        known[digest] = (now + self._node.idempotency_seconds, tries)
        while len(known) > _MOST or next(iter(known.values()))[0] <= now:
            del known[next(iter(known))]


def _digest(name: str) -> str:
    # Names hold what applications choose, of any length.
    return sha256(name.encode(errors="surrogatepass")).hexdigest()[:32]
