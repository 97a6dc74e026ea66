"""Chat rooms: names, who is here, and messages to the room or to one person."""

from __future__ import annotations

from gateway_chat.handler import Chat
from gateway_chat.options import ChatOptions
from gateway_chat.plugin import gateway_handlers

__all__ = ["Chat", "ChatOptions", "gateway_handlers"]
