"""What a gateway serves: a text of gateway.yaml, and what it means with the options of the command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import GatewayConfig

__all__ = ["Served"]


@dataclass(frozen=True)
class Served:
    """A text of gateway.yaml that is served.

    Args:
        path: The path of the file.
        text: What it said when it was read.
        config: What that means, with the options of the command in it.
        addressed: The sections of which these options say where to listen: `listen`, `admin`.
    """

    path: Path
    text: str
    config: GatewayConfig
    addressed: frozenset[str] = frozenset()

    def with_text(self, text: str, config: GatewayConfig) -> Served:
        """Give the same with what the file says now; it listens where it did."""
        kept = {key: getattr(self.config.listen, key) for key in ("host", "port", "unix", "unix_mode")}
        listen = config.listen.model_copy(update=kept)
        operators = {key: getattr(self.config.admin, key) for key in ("host", "port")}
        admin = config.admin.model_copy(update=operators)
        return replace(self, text=text, config=config.model_copy(update={"listen": listen, "admin": admin}))
