"""Pages that update themselves: figures by push and by polling, and notes that no page misses."""

from __future__ import annotations

from gateway_live.handler import LiveHandler
from gateway_live.notes import NotesHandler
from gateway_live.options import LiveOptions, NotesOptions, PageOptions
from gateway_live.plugin import LivePlugin, plugin

__all__ = [
    "LiveHandler",
    "LiveOptions",
    "LivePlugin",
    "NotesHandler",
    "NotesOptions",
    "PageOptions",
    "plugin",
]
