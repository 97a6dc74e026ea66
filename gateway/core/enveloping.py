"""One publication for all the members who take envelopes: one text for all who share a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.envelope import Envelope
from gateway.protocol.encoding import DEFLATED, encode_message

if TYPE_CHECKING:
    from gateway.broker.contract import Publication
    from gateway.core.compression import SharedCompression
    from gateway.core.envelope_connection import EnvelopeConnection
    from gateway.core.resuming import ResumeSet, Resuming

__all__ = ["Enveloping"]


class Enveloping:
    """The frames of one publication for members who take envelopes.

    Args:
        publication: The publication; its group's tracker has advanced to it.
        resuming: Signs the tokens.
    """

    __slots__ = ("_compressed", "_envelope", "_frames", "_publication", "_resuming", "_texts")

    def __init__(self, publication: Publication, resuming: Resuming) -> None:
        self._publication = publication
        self._envelope = Envelope(publication)
        self._resuming = resuming
        self._texts: dict[ResumeSet | None, str] = {}
        self._frames: dict[ResumeSet | None, bytes] = {}
        self._compressed: dict[tuple[ResumeSet | None, SharedCompression], bytes] = {}

    def frame(self, member: EnvelopeConnection) -> bytes:
        """Give the frame for a member."""
        groups = member.resume_set
        compression = member.compression
        if compression is not None:
            key = (groups, compression.shared)
            frame = self._compressed.get(key)
            if frame is None:
                frame = self._compressed[key] = compression.shared.encode(self._text(groups))
            if frame[0] & DEFLATED:
                compression.forget()
            return frame
        found = self._frames.get(groups)
        if found is None:
            found = self._frames[groups] = encode_message(self._text(groups))
        return found

    def _text(self, groups: ResumeSet | None) -> str:
        text = self._texts.get(groups)
        if text is None:
            text = self._texts[groups] = self._envelope.text(self._resuming.token(groups))
            if groups is not None:
                self._resuming.note_sent(groups, self._publication)
        return text
