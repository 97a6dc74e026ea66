"""The composition root: from gateway.yaml and the installed plugins to a gateway that serves."""

from __future__ import annotations

from gateway.app.prepare import Prepared, prepare
from gateway.app.process import Gateway

__all__ = ["Gateway", "Prepared", "prepare"]
