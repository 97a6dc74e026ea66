"""Each event of a connection as a signed HTTP request to a service, which answers what to do."""

from __future__ import annotations

from gateway_webhook.errors import WebhookError
from gateway_webhook.handler import Webhook
from gateway_webhook.options import WebhookOptions
from gateway_webhook.plugin import gateway_handlers

__all__ = ["Webhook", "WebhookError", "WebhookOptions", "gateway_handlers"]
