"""The other nodes, as long as they are heard of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable, Iterator

__all__ = ["BEAT_SECONDS", "SILENT_SECONDS", "TELL_SECONDS", "Neighbours"]

TELL_SECONDS: Final = 0.1
"""Changes of so long travel together."""

BEAT_SECONDS: Final = 2.0
"""Between two signs of life."""

SILENT_SECONDS: Final = 7.0
"""A node that is not heard for three beats is gone, and its connections with it."""

_MOST: Final = 1000

Neighbour = TypeVar("Neighbour")


class Neighbours(Generic[Neighbour]):
    """What is known of other nodes, by their names.

    Args:
        loop: The event loop, whose clock counts.
        make: Makes what is kept of a node that is heard for the first time, of its name.
        lose: Called with what was kept of a node that is gone.
    """

    __slots__ = ("_heard_at", "_known", "_looked_at", "_loop", "_lose", "_make")

    def __init__(
        self,
        loop: AbstractEventLoop,
        make: Callable[[str], Neighbour],
        lose: Callable[[Neighbour], None],
    ) -> None:
        self._loop = loop
        self._make = make
        self._lose = lose
        self._known: dict[str, Neighbour] = {}
        self._heard_at: dict[str, float] = {}
        self._looked_at = loop.time()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(self._known.values())

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self._known)

    def hear(self, name: str) -> tuple[Neighbour, bool]:
        """Note that a node lives; give what is kept of it, and whether it is new.

        Raises:
            ValueError: If it is one too many.
        """
        found = self._known.get(name)
        new = found is None
        if found is None:
            if len(self._known) >= _MOST:
                raise ValueError(f"too many nodes, limit {_MOST}")
            found = self._known[name] = self._make(name)
        self._heard_at[name] = self._loop.time()
        return found, new

    def drop(self, name: str) -> None:
        """Take a node for gone; nothing happens if it is not known."""
        found = self._known.pop(name, None)
        if found is not None:
            del self._heard_at[name]
            self._lose(found)

    def drop_silent(self) -> None:
        """Take those for gone that have not been heard for `SILENT_SECONDS`. Called at every beat."""
        now = self._loop.time()
        paused = now - self._looked_at
        self._looked_at = now
        if paused > 2 * BEAT_SECONDS:
            # This process stood still: what the others said meanwhile is still to be read.
            return
        for name in [name for name, at in self._heard_at.items() if at + SILENT_SECONDS < now]:
            self.drop(name)
