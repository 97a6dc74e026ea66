"""Pages that update themselves: figures by push, the same by polling, and a page that compares them."""

from __future__ import annotations

from gateway_live.handler import LiveHandler
from gateway_live.options import LiveOptions, PageOptions
from gateway_live.plugin import LivePlugin, plugin

__all__ = ["LiveHandler", "LiveOptions", "LivePlugin", "PageOptions", "plugin"]
