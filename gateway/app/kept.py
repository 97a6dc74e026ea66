"""What has to outlive a worker, so that its successor knows it after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import GatewayConfig, Path

__all__ = ["Keeping", "kept_between"]

Keeping = tuple["Path", str]
"""Where gateway.yaml asks for something to be kept, and what that is, in words."""


def kept_between(config: GatewayConfig) -> Iterator[Keeping]:
    """Give what a broker holds from one generation to the next, with the place that asks for it."""
    for index, policy in enumerate(config.groups):
        if policy.history is not None:
            yield ("groups", index, "history"), "history"
        if policy.presence != "off":
            yield ("groups", index, "presence"), "presence"
    if config.authentication.ticket is not None:
        yield ("authentication", "ticket"), "which tickets have been used"
