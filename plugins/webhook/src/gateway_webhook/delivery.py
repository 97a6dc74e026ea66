"""The way of an event to the service: tries with pauses between, under one deadline, so many at once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from gateway_webhook.errors import BusyError, RefusedError, UnavailableError
from gateway_webhook.signing import Signer
from gateway_webhook.upstream import TransferError, Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway_webhook.events import Letter
    from gateway_webhook.options import WebhookOptions

__all__ = ["Delivery"]

# RFC 9110 sections 15.5.9 and 15.6, RFC 8470 section 5.2, RFC 6585 section 4: statuses that may pass.
_MAY_PASS: Final = frozenset({408, 425, 429, *range(500, 600)})


class Delivery:
    """The events of one handler that are on their way to its service.

    Args:
        options: The bounds.
        now: Gives the time in seconds since the epoch.

    Raises:
        OSError: If the file of authorities does not load.
    """

    def __init__(self, options: WebhookOptions, now: Callable[[], float]) -> None:
        self._options = options
        self._now = now
        self._signer = Signer(options.keys)
        self._upstream = Upstream(options)
        self._events = 0
        self._bytes = 0

    async def close(self) -> None:
        """End the connections; no event is on its way any more."""
        await self._upstream.close()

    async def deliver(self, letter: Letter) -> bytes:
        """Bring an event to the service.

        Returns:
            The body of the answer.

        Raises:
            BusyError: If too many events are on their way; this one was not tried.
            UnavailableError: If no try got through.
            RefusedError: If the service will have none of it.
            AnswerError: If the service took it, and its answer is too long or encoded.
        """
        options = self._options
        size = len(letter.body)
        if self._events >= options.max_waiting or self._bytes + size > options.max_waiting_bytes:
            raise BusyError(self._events, self._bytes)
        self._events += 1
        self._bytes += size
        tries = _Tries()
        try:
            async with asyncio.timeout(options.deadline_seconds) as deadline:
                return await self._try(letter, tries, deadline.when() or 0.0)
        except TimeoutError:
            raise UnavailableError(tries.count, tries.last) from None
        finally:
            self._events -= 1
            self._bytes -= size

    async def _try(self, letter: Letter, tries: _Tries, deadline: float) -> bytes:
        options = self._options
        loop = asyncio.get_running_loop()
        backoff = options.backoff_seconds
        while True:
            # Who pauses holds no place: events of other connections go on meanwhile.
            pause = random.uniform(0.5, 1) * min(backoff, options.max_backoff_seconds)  # noqa: S311
            async with self._upstream.room:
                tries.count += 1
                signed = self._signer.sign(letter.id, int(self._now()), letter.body)
                try:
                    response = await self._upstream.post(signed, letter.body)
                except TransferError as exc:
                    tries.last = str(exc)
                else:
                    if 200 <= response.status <= 299:  # noqa: PLR2004 - RFC 9110 section 15.3
                        return response.body
                    if response.status not in _MAY_PASS:
                        raise RefusedError(response.status)
                    tries.last = f"answered {response.status}"
                    pause = max(pause, response.retry_after)
            if tries.count >= options.max_tries or loop.time() + pause >= deadline:
                raise UnavailableError(tries.count, tries.last)
            await asyncio.sleep(pause)
            backoff *= 2


class _Tries:
    """What is known of an event's tries."""

    __slots__ = ("count", "last")

    def __init__(self) -> None:
        self.count = 0
        self.last = "not begun within the deadline"
