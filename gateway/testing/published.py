"""What was published while a test ran."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.broker.contract import Publication

__all__ = ["Published", "Record"]

_EVERYONE: Final = "$everyone"
_USER: Final = "$user:"
_PATIENCE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Record:
    """One publication.

    Args:
        message: `str` for text, `bytes` for binary.
        group: The group that it was published to; `None` if it went to a user or to everyone.
        user: The user whose connections it was published to; `None` otherwise.
        exclude: Id of the connection that did not get it; `None` for no one.
        key: What the message was the newest state of; `None` if nothing was said.
    """

    message: str | bytes
    group: str | None = None
    user: str | None = None
    exclude: str | None = None
    key: str | None = None

    @property
    def to_everyone(self) -> bool:
        """Whether it was published to every connection."""
        return self.group is None and self.user is None

    def json(self) -> Any:
        """Give the message as JSON says it.

        Raises:
            ValueError: If it is no JSON.
        """
        return json.loads(self.message)


class Published:
    """What handlers, plugins and the test itself have published, in order, on every gateway of the test."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._news = asyncio.Event()

    def add(self, publication: Publication) -> None:
        """Note a publication."""
        group: str | None = publication.group
        user = None
        if publication.group.startswith(_USER):
            group, user = None, publication.group.removeprefix(_USER)
        elif publication.group == _EVERYONE:
            group = None
        self._records.append(Record(publication.message, group, user, publication.exclude, publication.key))
        self._news.set()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    def __getitem__(self, index: int) -> Record:
        return self._records[index]

    def __repr__(self) -> str:
        return f"<Published {self._records!r}>"

    def to_group(self, group: str) -> list[str | bytes]:
        """Give the messages that were published to a group."""
        return [record.message for record in self if record.group == group]

    def to_user(self, user: str) -> list[str | bytes]:
        """Give the messages that were published to a user."""
        return [record.message for record in self if record.user == user]

    def to_everyone(self) -> list[str | bytes]:
        """Give the messages that were published to everyone."""
        return [record.message for record in self if record.to_everyone]

    def clear(self) -> None:
        """Forget what was published up to now."""
        self._records.clear()

    async def wait_for(
        self, wanted: Callable[[Record], bool], *, within_seconds: float = _PATIENCE_SECONDS
    ) -> Record:
        """Wait until something was published that is wanted; give the first such record.

        Raises:
            AssertionError: If there is none in time.
        """
        try:
            async with asyncio.timeout(within_seconds):
                while (found := next(filter(wanted, self), None)) is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            told = f"within {within_seconds:g} seconds nothing was published that is wanted, only {self!r}"
            raise AssertionError(told) from None
        return found
