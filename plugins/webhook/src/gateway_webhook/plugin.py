"""The hooks of the plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway import hookimpl
from gateway_webhook.handler import Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway import Handler

__all__ = ["gateway_handlers"]


@hookimpl
def gateway_handlers() -> Mapping[str, type[Handler[Any]]]:
    """Name the handler."""
    return {"webhook": Webhook}
