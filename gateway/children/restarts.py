"""How soon a child process that died is started anew."""

from __future__ import annotations

import signal
from typing import Final

__all__ = ["Restarts", "tell_status"]

_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 3.0  # with a second for the start, somebody serves within five
_GOOD_LIFE_SECONDS: Final = 10.0


class Restarts:
    """The pauses before the next starts: none after a good life, and longer from failure to failure."""

    def __init__(self) -> None:
        self._failures = 0

    def pause(self, lived: float) -> float:
        """Give the seconds to wait before the next start.

        Args:
            lived: For how many seconds the child had been ready when it died.
        """
        if lived >= _GOOD_LIFE_SECONDS:
            self._failures = 0
        failures, self._failures = self._failures, self._failures + 1
        if not failures:
            return 0.0
        return min(_FIRST_SECONDS * 2.0 ** min(failures - 1, 10), _LONGEST_SECONDS)


def tell_status(status: int) -> dict[str, int | str]:
    """Give what a log line says of a child's end: the exit status, or the signal that killed it."""
    if status >= 0:
        return {"status": status}
    try:
        return {"signal": signal.Signals(-status).name}
    except ValueError:
        return {"signal": str(-status)}
