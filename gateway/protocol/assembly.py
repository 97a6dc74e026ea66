"""A message or frame of which only a part has come so far."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from gateway.protocol.compression import TooBig
from gateway.protocol.masking import apply_mask

if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from collections.abc import Callable

    from gateway.protocol.compression import Inflater

__all__ = ["Assembly", "PartialFrame"]

_new_utf8_decoder: Final = codecs.getincrementaldecoder("utf-8")
_NO_LIMIT: Final = 1 << 62
_SURROGATES: Final = 0xED  # first byte of U+D000 to U+DFFF
_FIRST_SURROGATE: Final = 0xA0  # second byte from which on they are surrogates


class PartialFrame:
    """A frame whose header is read and whose payload may still be coming.

    Args:
        opcode: RFC 6455 section 5.2.
        final: Whether it is the last frame of its message.
        remaining: Payload bytes that have not come yet.
        mask: The masking key, four bytes.
        deflated: Whether RSV1 is set: the frame begins a compressed message (RFC 7692 section 6).
    """

    __slots__ = ("deflated", "final", "head", "mask", "opcode", "remaining")

    def __init__(
        self, opcode: int, final: bool, remaining: int, mask: bytes, *, deflated: bool = False
    ) -> None:
        self.opcode = opcode
        self.final = final
        self.deflated = deflated
        self.remaining = remaining
        self.mask = mask
        self.head = b""
        """A control frame's payload so far: at most 125 bytes."""

    def unmask(self, chunk: bytes) -> bytes:
        """Unmask the next payload bytes, and turn the key to where the ones after them begin."""
        plain = apply_mask(chunk, self.mask)
        self.remaining -= len(chunk)
        turn = len(chunk) & 3
        if turn:
            self.mask = self.mask[turn:] + self.mask[:turn]
        return plain


class Assembly:
    """A message that is put together from several frames, or from several reads of one.

    Args:
        is_text: Whether the payload has to be UTF-8, which is checked as it comes.
        limit: Most bytes of the message, inflated.
        inflater: What inflates it; `None` if it is not compressed.
    """

    __slots__ = ("_decoder", "_inflater", "_limit", "data", "fragments", "serial", "wire_bytes")

    def __init__(self, *, is_text: bool, limit: int = _NO_LIMIT, inflater: Inflater | None = None) -> None:
        self.data = bytearray()
        self.fragments = 0
        self.serial = 0
        """The reader's number for this message, by which its deadline knows it; 0 before it has one."""
        self.wire_bytes = 0
        """Payload bytes so far, as they came."""
        self._limit = limit
        self._inflater = inflater
        self._decoder: IncrementalDecoder | None = _new_utf8_decoder() if is_text else None

    @property
    def deflated(self) -> bool:
        """Whether the message is compressed."""
        return self._inflater is not None

    def add(self, chunk: bytes) -> None:
        """Add payload bytes.

        Raises:
            UnicodeDecodeError: If the message is text and a byte cannot belong to UTF-8 (RFC 6455
                section 8.1), as soon as that byte is there.
            TooBig: If the message inflates to more than its limit.
            zlib.error: If it is compressed and the bytes are no deflated ones.
        """
        self.wire_bytes += len(chunk)
        if self._inflater is not None:
            chunk = self._inflate(self._inflater.add, chunk)
        self._keep(chunk)

    def _inflate(self, step: Callable[..., bytes], *chunk: bytes) -> bytes:
        limit = self._limit - len(self.data)
        try:
            return step(*chunk, limit)
        except TooBig as exc:
            # Bytes that are not UTF-8 are refused as such, as they would be had they come one by one.
            self._check_text(exc.data[:limit])
            raise

    def _keep(self, chunk: bytes) -> None:
        self._check_text(chunk)
        self.data += chunk

    def _check_text(self, chunk: bytes) -> None:
        if self._decoder is not None:
            self._decoder.decode(chunk)
            # CPython holds the first two bytes of an encoded surrogate back, though no third can mend
            # them (RFC 3629 section 3).
            pending = self._decoder.getstate()[0]
            if len(pending) > 1 and pending[0] == _SURROGATES and pending[1] >= _FIRST_SURROGATE:
                raise UnicodeDecodeError("utf-8", pending, 0, 2, "surrogates are not allowed")

    def finish(self) -> str | bytes:
        """Give the whole message.

        Raises:
            UnicodeDecodeError: If text ends within a character.
            TooBig: As `add`.
            zlib.error: As `add`.
        """
        if self._inflater is not None:
            self._keep(self._inflate(self._inflater.finish))
        if self._decoder is None:
            return bytes(self.data)
        return self.data.decode()
