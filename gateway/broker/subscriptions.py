"""Which groups a node receives, and which changes of that the engine has not been told yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.broker.channels import Channels

__all__ = ["Subscriptions"]

LINGER_SECONDS: Final = 1.0
"""Seconds that a group is still received after its last member has left: whoever comes back within them, as
a page that is loaded anew, costs the engine nothing."""


class Subscriptions:
    """The groups that a node receives.

    A group costs half a kilobyte here.

    Args:
        loop: The event loop, for the delay before a group is left.
        channels: The names of channels.
        changed: Called when the engine has something to be told.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, channels: Channels, changed: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._channels = channels
        self._changed = changed
        self._channel_of: dict[str, str] = {}
        self._group_of: dict[str, str] = {}
        self._leaving: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._untold: dict[str, bool] = {}

    def add(self, group: str) -> None:
        """Receive a group; nothing changes if it is received."""
        if self._leaving.pop(group, None) is not None or group in self._channel_of:
            return
        channel = self._channels.of_group(group)
        self._channel_of[group] = channel
        self._group_of[channel] = group
        self._tell(channel, wanted=True)

    def discard(self, group: str) -> None:
        """Receive a group no more, in `LINGER_SECONDS`, unless it is added again until then."""
        if group in self._channel_of:
            self._leaving[group] = self._loop.time() + LINGER_SECONDS
            if self._timer is None:
                self._timer = self._loop.call_later(LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self._timer = None
        now = self._loop.time()
        for group, due in tuple(self._leaving.items()):  # in the order of their times
            if due > now:
                self._timer = self._loop.call_at(due, self._leave)
                break
            del self._leaving[group]
            channel = self._channel_of.pop(group)
            del self._group_of[channel]
            self._tell(channel, wanted=False)

    def _tell(self, channel: str, *, wanted: bool) -> None:
        if self._untold.get(channel) is (not wanted):
            del self._untold[channel]  # the engine has not heard of the opposite
        else:
            self._untold[channel] = wanted
            self._changed()

    def channel_of(self, group: str) -> str:
        """Give the channel of a group, received or not."""
        return self._channel_of.get(group) or self._channels.of_group(group)

    def group_of(self, channel: str) -> str | None:
        """Give the group of a channel; `None` if it is not received."""
        return self._group_of.get(channel)

    @property
    def told(self) -> bool:
        """Whether there is nothing that the engine has to be told."""
        return not self._untold

    def take(self) -> tuple[list[str], list[str]]:
        """Give the channels that the engine has to be asked for, and those to be left."""
        untold, self._untold = self._untold, {}
        return (
            [channel for channel, wanted in untold.items() if wanted],
            [channel for channel, wanted in untold.items() if not wanted],
        )

    def take_all(self) -> list[str]:
        """Give every channel that a new link has to ask for; there is nothing else to tell it then."""
        self._untold = {}
        return list(self._group_of)

    def close(self) -> None:
        """Leave nothing to do behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
