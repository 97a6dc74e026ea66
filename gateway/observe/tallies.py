"""What is counted of one connection, and of the groups of one pattern."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["ONE_MESSAGE", "GroupTally", "Tally"]

_BYTE_BITS: Final = 44  # 16 TiB of one connection, each way

ONE_MESSAGE: Final = 1 << _BYTE_BITS
"""One message in a number that has the bytes in its lower bits and the messages above them."""


class Tally(NamedTuple):
    """Messages and bytes of one connection, each way.

    A connection keeps them in two numbers, one for each way: an idle one has 0 for both, which takes no
    memory of its own, and another 32 bytes for each, where an object with four numbers took twice as much.
    """

    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int

    @classmethod
    def unpack(cls, received: int, sent: int) -> Tally:
        """Take the two numbers apart."""
        return cls(*divmod(received, ONE_MESSAGE), *divmod(sent, ONE_MESSAGE))


class GroupTally:
    """Publications and deliveries of all groups of one pattern."""

    __slots__ = ("deliveries", "publications")

    def __init__(self) -> None:
        self.publications = 0
        """Those to groups that had a member here."""
        self.deliveries = 0
        """Messages put into send queues: one for each publication and member."""
