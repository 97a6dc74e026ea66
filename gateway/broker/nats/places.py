"""Where JetStream has put a message: what stands in its header."""

from __future__ import annotations

import re
from typing import Final

from gateway.broker.link import Place

__all__ = ["Places", "read_header"]

_LINE: Final = re.compile(rb"\r\nNats-(Stream|Sequence|Last-Sequence|Num-Pending|Time-Stamp): ([^\r]*)")


def read_header(header: bytes) -> dict[bytes, bytes]:
    """Give what the server has written, without its `Nats-`; a publisher's own lines stand before its."""
    return dict(_LINE.findall(header))


class Places:
    """The reader of places, for all links of a node.

    It notes how far each history has come, so that one that has lost its end is found out.
    """

    def __init__(self) -> None:
        self._epochs: dict[bytes, str] = {}
        self._newest: dict[str, int] = {}

    def of(self, header: bytes) -> Place | None:
        """Read the header of a message that has just been kept; `None` if it is none."""
        found = read_header(header)
        try:
            epoch = self.epoch_of(found[b"Stream"])
            place = Place(int(found[b"Sequence"]), int(found[b"Last-Sequence"]), epoch)
        except (KeyError, ValueError):
            return None
        self.note(place.offset, epoch)
        return place

    def note(self, offset: int, epoch: str) -> None:
        """Note that a history has come as far as this."""
        if offset > self._newest.get(epoch, 0):
            self._newest[epoch] = offset

    def newest(self, epoch: str) -> int:
        """Give the highest offset that was seen."""
        return self._newest.get(epoch, 0)

    def epoch_of(self, stream: bytes) -> str:
        """Give the epoch that the name of a stream carries at its end."""
        epoch = self._epochs.get(stream)
        if epoch is None:
            epoch = self._epochs[stream] = stream.rpartition(b"_")[2].decode(errors="replace")
        return epoch
