"""The rate of a connection's messages: a token bucket for their number, one for their bytes."""

from __future__ import annotations

import asyncio
import time
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from gateway.config.models import RateAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.models import RouteLimits
    from gateway.core.connection import Connection

__all__ = ["Rate", "limit_rate"]


class Rate:
    """The two buckets of one connection.

    A bucket holds one burst and fills at its rate. Without a burst of its own it holds one second's worth.

    Args:
        limits: The route's limits; a rate of 0 is none.
        now: Seconds of a monotonic clock.
    """

    __slots__ = ("_byte_tokens", "_filled_at", "_limits", "_message_tokens")

    def __init__(self, limits: RouteLimits, now: float) -> None:
        self._limits = limits
        self._filled_at = now
        self._message_tokens: float = limits.message_burst or max(limits.messages_per_second, 1)
        self._byte_tokens: float = limits.byte_burst or limits.bytes_per_second

    def take(self, size: int, now: float) -> float:
        """Take one message from the buckets.

        The bytes of a message that is longer than a whole burst are taken once the bucket is full, so that
        it passes at the price of a longer wait for the next one.

        Args:
            size: The message's bytes.
            now: Seconds of the same clock.

        Returns:
            0 if the message is within the rates, and is taken; else the seconds until it would be.
        """
        limits = self._limits
        passed = now - self._filled_at
        self._filled_at = now
        wait = 0.0
        rate = limits.messages_per_second
        if rate:
            burst = limits.message_burst or max(rate, 1)
            self._message_tokens = min(burst, self._message_tokens + passed * rate)
            wait = max(wait, (1 - self._message_tokens) / rate)
        rate = limits.bytes_per_second
        if rate:
            burst = limits.byte_burst or rate
            self._byte_tokens = min(burst, self._byte_tokens + passed * rate)
            wait = max(wait, (min(size, burst) - self._byte_tokens) / rate)
        if wait <= 0:
            self._message_tokens -= 1
            self._byte_tokens -= size
            return 0.0
        return wait


def limit_rate(event: Callable[[Connection, Any], Any], limits: RouteLimits) -> Callable[..., Any]:
    """Wrap a message event for a route with rates; one without is called directly, at no cost.

    Over the rate the connection is closed with 1008, or, with `pause`, the message waits like one of a
    handler that waits: those behind it are kept, and past the backlog the socket is not read.
    """

    def check(connection: Connection, message: str | bytes) -> Any:
        rate = connection.rate
        now = time.monotonic()
        if rate is None:
            rate = connection.rate = Rate(limits, now)
        size = len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())
        wait = rate.take(size, now)
        if not wait:
            return event(connection, message)
        connection.node.metrics.limits["message_rate"] += 1
        if limits.rate_action is RateAction.PAUSE:
            return go_on(connection, message, rate, size, wait)
        connection.refuse_rate()
        return None

    async def go_on(connection: Connection, message: str | bytes, rate: Rate, size: int, wait: float) -> Any:
        while wait:
            # The bucket is exact to the nanosecond; the loop's timers are to the millisecond.
            await asyncio.sleep(max(wait, 0.001))
            wait = rate.take(size, time.monotonic())
        result = event(connection, message)
        return await result if isawaitable(result) else result

    return check
