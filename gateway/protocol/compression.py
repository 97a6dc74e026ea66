"""permessage-deflate: negotiation, inflating under a limit, and deflating (RFC 7692), without I/O."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CompressionPolicy", "Deflater", "Inflater", "Parameters", "TooBig"]

# What ends the deflated form of a message; it is left out on the wire (RFC 7692 section 7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
_NAME: Final = "permessage-deflate"
_LARGEST_WINDOW_BITS: Final = 15
# A sane client makes two offers of at most five parameters. More is not read: parsing is linear, but
# the 8 KiB of an attacker's commas would still cost a millisecond of Python.
_MOST_OFFER_CHARACTERS: Final = 1024
# One does. Each costs a new inflater and a copy of what follows, and may be as short as two bytes.
_MOST_FINAL_BLOCKS: Final = 16


class Parameters(NamedTuple):
    """What was agreed on (RFC 7692 section 7.1).

    Args:
        server_takeover: Whether our messages may refer to earlier ones of ours.
        client_takeover: Whether the client's may refer to earlier ones of its own.
        server_window_bits: Logarithm of our window's size in bytes, 9 to 15.
        client_window_bits: Logarithm of the client's window's size, 8 to 15.
    """

    server_takeover: bool
    client_takeover: bool
    server_window_bits: int
    client_window_bits: int


class CompressionPolicy:
    """What a route agrees to.

    Args:
        server_takeover: Whether our messages may refer to earlier ones, where the client allows it.
        client_takeover: Whether the client's may: an idle connection keeps its window then.
        server_window_bits: Largest window of ours, 9 to 15.
        client_window_bits: Largest window of the client's, 9 to 15; only a client that says it can is asked
            for less than 15.
    """

    __slots__ = ("_factory",)

    def __init__(
        self,
        *,
        server_takeover: bool,
        client_takeover: bool,
        server_window_bits: int,
        client_window_bits: int,
    ) -> None:
        self._factory = ServerPerMessageDeflateFactory(
            server_no_context_takeover=not server_takeover,
            client_no_context_takeover=not client_takeover,
            server_max_window_bits=server_window_bits if server_window_bits < _LARGEST_WINDOW_BITS else None,
            client_max_window_bits=client_window_bits if client_window_bits < _LARGEST_WINDOW_BITS else None,
        )

    def agree(self, values: Sequence[str]) -> tuple[str, Parameters] | None:
        """Choose the first offer that can be met (RFC 7692 section 5).

        Args:
            values: The Sec-WebSocket-Extensions fields of the request.

        Returns:
            The value of the answer's field, and what it means; `None` if there is no offer to take. A
            malformed field is no offer.
        """
        text = ", ".join(values)
        if _NAME not in text or len(text) > _MOST_OFFER_CHARACTERS:
            return None
        try:
            offers = parse_extension(text)
        except InvalidHandshake:
            return None
        for name, offered in offers:
            if name != _NAME:
                continue
            try:
                answered, agreed = self._factory.process_request_params(offered, [])
            except InvalidHandshake:
                continue
            parameters = Parameters(
                not agreed.local_no_context_takeover,
                not agreed.remote_no_context_takeover,
                agreed.local_max_window_bits,
                agreed.remote_max_window_bits,
            )
            return build_extension([(agreed.name, answered)]), parameters
        return None


class TooBig(Exception):
    """A message inflates to more than its limit.

    Args:
        data: What came out of the latest bytes, one byte over the limit.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__("message inflates to more than its limit")
        self.data = data


class Inflater:
    """The inflating of one connection's messages.

    Args:
        takeover: Whether a message may refer to earlier ones; if not, no window is kept between them.
        window_bits: Logarithm of the client's window's size in bytes.
    """

    __slots__ = ("_final_blocks", "_inflate", "_takeover", "_window_bits")

    def __init__(self, *, takeover: bool, window_bits: int) -> None:
        self._takeover = takeover
        self._window_bits = window_bits
        self._inflate: zlib._Decompress | None = None
        self._final_blocks = 0

    def add(self, chunk: bytes, limit: int) -> bytes:
        """Inflate the next bytes of a message.

        Args:
            chunk: Deflated bytes.
            limit: Most bytes to give; no more memory than that is taken.

        Raises:
            TooBig: If there would be more.
            zlib.error: If they are no deflated bytes.
        """
        data = b""
        while True:
            inflate = self._inflate
            if inflate is None:
                inflate = self._inflate = zlib.decompressobj(wbits=-self._window_bits)
            # 0 would mean no limit to zlib, so one byte more than the limit is asked for.
            data += inflate.decompress(chunk, limit - len(data) + 1)
            if len(data) > limit:
                raise TooBig(data)
            if not inflate.eof:
                return data
            # RFC 7692 section 7.2.3.4: a block may have BFINAL set; what follows it begins anew.
            self._inflate = None
            self._final_blocks += 1
            if self._final_blocks > _MOST_FINAL_BLOCKS:
                raise zlib.error(f"more than {_MOST_FINAL_BLOCKS} final blocks in a message")
            chunk = inflate.unused_data
            if not chunk:
                return data

    def finish(self, limit: int) -> bytes:
        """End a message, and give what was held back; as `add` otherwise."""
        data = self.add(_TAIL, limit) if self._inflate is not None else b""
        self._final_blocks = 0
        if not self._takeover:
            self._inflate = None
        return data


class Deflater:
    """The deflating of messages.

    One that keeps no context serves all connections that share its window size: it forgets each message by
    a full flush, which costs a twentieth of a new one (256 KiB to clear).

    Args:
        takeover: Whether a message may refer to earlier ones of this deflater.
        window_bits: Logarithm of the window's size in bytes, 9 to 15.
        level: 1, the fastest, to 9, the smallest.
        memory_level: 1 to 9; memory is 2 to the power of `memory_level` + 9 bytes, besides the window.
    """

    __slots__ = ("_deflate", "_flush")

    def __init__(self, *, takeover: bool, window_bits: int, level: int, memory_level: int) -> None:
        self._deflate = zlib.compressobj(level, zlib.DEFLATED, -window_bits, memory_level)
        self._flush = zlib.Z_SYNC_FLUSH if takeover else zlib.Z_FULL_FLUSH

    def deflate(self, payload: bytes) -> bytes:
        """Give the deflated form of a message's payload, without its tail."""
        deflated = self._deflate.compress(payload) + self._deflate.flush(self._flush)
        return deflated[: -len(_TAIL)]
