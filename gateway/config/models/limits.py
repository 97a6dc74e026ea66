"""What one connection may cost: `limits:` and `overflow:` of a route."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from gateway.config.models.base import DAY, ConfigModel, Number, WholeNumber, raise_findings
from gateway.config.models.group_rules import ping_findings


class Overflow(StrEnum):
    """What happens to a connection whose send queue is at its limit."""

    DISCONNECT = "disconnect"
    """The connection is closed with 1013: it may come back, and knows that it missed something."""
    DROP_OLDEST = "drop_oldest"
    """Queued messages are dropped, the oldest first, until the new one fits."""
    DROP_NEWEST = "drop_newest"
    """The new message is dropped."""
    CONFLATE = "conflate"
    """Of each group, or of each key that the publisher gives, only the newest publication is kept. What was
    sent to the connection alone cannot be replaced by a newer one, so that the connection is closed."""


class RateAction(StrEnum):
    """What happens to a connection whose messages come faster than its rates."""

    CLOSE = "close"
    """The connection is closed with 1008."""
    PAUSE = "pause"
    """The client is read no faster than the rates: its writes stall."""


class RouteLimits(ConfigModel):
    """Limits that hold for each connection of a route by itself."""

    max_message_bytes: WholeNumber = Field(
        default=65_536,
        ge=1,
        le=1_073_741_824,
        description="Most bytes of a message from the client, in all frames. Above it, close code 1009.",
    )
    max_fragments: WholeNumber = Field(
        default=1024,
        ge=1,
        le=1_000_000,
        description="Most frames that one message may be cut into. Above it the close code is 1008.",
    )
    message_timeout_seconds: Number = Field(
        default=60,
        gt=0,
        le=DAY,
        description="Seconds from a message's first byte to its last. After that the close code is 1008.",
    )
    send_queue_bytes: WholeNumber = Field(
        default=1_048_576,
        ge=1,
        le=4_294_967_296,
        description="Most bytes that wait for a slow client. At the limit the overflow policy decides.",
    )
    receive_backlog: WholeNumber = Field(
        default=16,
        ge=1,
        le=65_536,
        description="Number of messages that may wait for handlers before reading from the client pauses.",
    )
    handler_timeout_seconds: Number = Field(
        default=30,
        gt=0,
        le=DAY,
        description="Seconds that a handler's async event may take. After that the close code is 1011.",
    )
    close_timeout_seconds: Number = Field(
        default=5,
        gt=0,
        le=3600,
        description="Seconds that the client has to answer a close frame before TCP is cut.",
    )
    ping_interval_seconds: Number = Field(
        default=20,
        ge=0,
        le=DAY,
        description="Seconds of silence from the client after which it is sent a ping. 0 turns pings off.",
    )
    pong_timeout_seconds: Number = Field(
        default=20,
        gt=0,
        le=DAY,
        description="Seconds that the client has to answer a ping, at least those between pings. After that "
        "the close code is 1011.",
    )
    max_pings_per_second: WholeNumber = Field(
        default=50,
        ge=1,
        le=1_000_000,
        description="Most pings a second from the client. Above it the close code is 1008.",
    )
    messages_per_second: Number = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Most messages a second from the client, over time. 0 sets no rate.",
    )
    message_burst: WholeNumber = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Most messages at once within that rate. 0 stands for one second's worth.",
    )
    bytes_per_second: Number = Field(
        default=0,
        ge=0,
        le=1_000_000_000_000,
        description="Most bytes of messages a second from the client, over time. 0 sets no rate.",
    )
    byte_burst: WholeNumber = Field(
        default=0,
        ge=0,
        le=1_000_000_000_000,
        description="Most bytes of messages at once within that rate. 0 stands for one second's worth.",
    )
    rate_action: RateAction = Field(
        default=RateAction.CLOSE,
        description="What happens above a rate: `close`, with 1008, or `pause`, reading no faster.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        raise_findings("RouteLimits", ping_findings(self.ping_interval_seconds, self.pong_timeout_seconds))
        return self
