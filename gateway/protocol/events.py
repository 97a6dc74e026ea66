"""What the frame reader reports besides messages: control frames, and its own refusal to go on."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["CloseReceived", "Event", "PingReceived", "PongReceived", "Violation"]


class PingReceived(NamedTuple):
    """A ping frame: `payload` is to come back in a pong (RFC 6455 section 5.5.2)."""

    payload: bytes


class PongReceived(NamedTuple):
    """A pong frame, asked for or not (RFC 6455 section 5.5.3)."""

    payload: bytes


class CloseReceived(NamedTuple):
    """A close frame. `code` is 1005 when its body was empty (RFC 6455 section 7.1.5)."""

    code: int
    reason: str


class Violation(NamedTuple):
    """The peer broke a rule: the connection is to be failed with `code`, and nothing more is read."""

    code: int
    reason: str


# A text message comes as `str`, a binary one as `bytes`: no wrapper on the way of a message.
Event: TypeAlias = str | bytes | PingReceived | PongReceived | CloseReceived | Violation
