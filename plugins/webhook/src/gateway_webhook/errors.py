"""Why an event did not get through, and the close code of the connection that it belonged to."""

from __future__ import annotations

from typing import ClassVar, Final

from gateway import GatewayError

__all__ = [
    "AnswerError",
    "BusyError",
    "PublishError",
    "RefusedError",
    "UnavailableError",
    "WebhookError",
]

_INTERNAL_ERROR: Final = 1011
_TRY_AGAIN_LATER: Final = 1013


class WebhookError(GatewayError):
    """Base: an event that the service did not take, or an answer that cannot be followed.

    Its text is for the log, so that it holds nothing of what was sent or answered.

    Attributes:
        code: The close code of the connection.
        reason: The close reason.
    """

    code: ClassVar[int] = _INTERNAL_ERROR
    reason: ClassVar[str] = "the service failed"


class BusyError(WebhookError):
    """Too many events wait already.

    Args:
        events: How many.
        size: Their bytes in all.
    """

    code = _TRY_AGAIN_LATER
    reason = "the service is busy"

    def __init__(self, events: int, size: int) -> None:
        super().__init__(f"too many events wait: {events} with {size} bytes")
        self.events = events
        self.size = size


class UnavailableError(WebhookError):
    """Every try failed in a way that may pass, or the deadline came first.

    Args:
        tries: How many there were.
        last: What became of the last one.
    """

    code = _TRY_AGAIN_LATER
    reason = "the service is not available"

    def __init__(self, tries: int, last: str) -> None:
        super().__init__(f"no answer after {tries} tries: {last}")
        self.tries = tries
        self.last = last


class RefusedError(WebhookError):
    """The service answered with a status that another try would not change.

    Args:
        status: The status.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"answered {status}")
        self.status = status


class AnswerError(WebhookError):
    """The service took the event, and its answer is none.

    Args:
        fact: What is wrong with it.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(f"not an answer: {fact}")
        self.fact = fact


class PublishError(WebhookError):
    """The answer asks for a publication while the broker takes none."""

    code = _TRY_AGAIN_LATER
    reason = "publishing is not possible now"

    def __init__(self) -> None:
        super().__init__("the broker takes no publications")
