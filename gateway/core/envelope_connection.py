"""A connection whose client gets envelopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.envelope import enveloped
from gateway.core.socket_connection import SocketConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.core.groups import Group
    from gateway.core.resuming import Arrival, ResumeSet

__all__ = ["EnvelopeConnection"]


class EnvelopeConnection(SocketConnection):
    """A connection of a route with `envelope: json`.

    Args:
        arrival: What it begins with; `None` where no group keeps history.
        arguments: Those of `SocketConnection`.
    """

    __slots__ = ("_arrival", "_set", "_set_of")

    particular = True

    def __init__(self, *, arrival: Arrival | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._arrival = arrival
        self._set: ResumeSet | None = None
        self._set_of: tuple[Group, ...] | None = None

    @property
    def resume_set(self) -> ResumeSet | None:
        """The groups with history that it is a member of; `None` if there are none."""
        if self._set_of is not self.joined:
            self._set_of = self.joined
            self._set = self.node.resuming.set_of(self.joined, self._set)
        return self._set

    def regrouped(self) -> None:
        """Go over to another set at once: what those of the former one are sent it may not get."""
        if self._set is not None:
            _ = self.resume_set

    def send(self, message: str | bytes | bytearray | memoryview) -> Awaitable[None]:
        """Send a message in an envelope of its own, that names no group; otherwise as `Connection.send`."""
        return super().send(enveloped(message))

    def send_envelope(self, text: str) -> None:
        """Send an envelope as it is. The gateway's own."""
        super().send(text)

    def _greet(self) -> None:
        arrival, self._arrival = self._arrival, None
        if arrival is None:
            return
        token = self.node.resuming.token(self.resume_set)
        for text in arrival.greeting(token, self._route.limits.send_queue_bytes // 2):
            self.send_envelope(text)
