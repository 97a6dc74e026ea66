"""What gateway.yaml may say about the handler."""

from __future__ import annotations

import re

from pydantic import Field

from gateway import Options

__all__ = ["ChatOptions"]


class ChatOptions(Options):
    """Options of the handler `chat`, under a route."""

    max_text_characters: int = Field(
        default=2000,
        ge=1,
        le=65_536,
        description="The longest text that a member may say or whisper, in characters. The route's "
        "`max_message_bytes` bounds the whole message besides.",
    )
    room_pattern: re.Pattern[str] = Field(
        default=re.compile(r"[A-Za-z0-9._-]{1,64}"),
        description="A regular expression that the whole name of a room has to match. `lobby|help` allows "
        "these two rooms only.",
    )
