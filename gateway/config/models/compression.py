"""The compression of messages: `compression:` of a route."""

from __future__ import annotations

from pydantic import Field

from gateway.config.models.base import ConfigModel, Flag, WholeNumber

__all__ = ["CompressionConfig"]


class CompressionConfig(ConfigModel):
    """permessage-deflate (RFC 7692), with clients that offer it.

    A context that is kept over messages makes small alike ones much smaller, and costs memory for each
    connection: about 300 KiB for the gateway's, 32 KiB for the client's.
    """

    min_bytes: WholeNumber = Field(
        default=256,
        ge=0,
        le=1_073_741_824,
        description="Least bytes of a message that is compressed; a shorter one would hardly gain.",
    )
    level: WholeNumber = Field(
        default=6,
        ge=1,
        le=9,
        description="Effort of compressing: 1 is the fastest, 9 gives the shortest messages.",
    )
    memory_level: WholeNumber = Field(
        default=8,
        ge=1,
        le=9,
        description="Logarithm of the memory of compressing: 2 to the power of this plus 9, in bytes.",
    )
    server_context_takeover: Flag = Field(
        default=False,
        description=(
            "Whether messages to a client may refer to earlier ones. None may be left out then, "
            "so that a full send queue always disconnects. Default: no."
        ),
    )
    client_context_takeover: Flag = Field(
        default=False,
        description="Whether the client's messages may refer to its earlier ones. Default: no.",
    )
    server_window_bits: WholeNumber = Field(
        default=15,
        ge=9,
        le=15,
        description="Logarithm of the gateway's window in bytes.",
    )
    client_window_bits: WholeNumber = Field(
        default=15,
        ge=9,
        le=15,
        description="Logarithm of the client's window in bytes; less than 15 only where the client can.",
    )
