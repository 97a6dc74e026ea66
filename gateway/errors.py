"""The exception tree: every error that the gateway raises on purpose derives from `GatewayError`."""

from __future__ import annotations


class GatewayError(Exception):
    """Root of the gateway's errors.

    Each subclass carries what it knows as typed attributes and builds its own text from them:
    lower case, the fact first, then the numbers.
    """
