"""`gateway routes`: what gateway.yaml serves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.common import ConfigFile, out, prepare_or_exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import RouteConfig

__all__ = ["routes"]


def routes(config: ConfigFile = Path("gateway.yaml")) -> None:
    """List the routes of gateway.yaml with their handlers, origins, authentication and groups."""
    console = out()
    for route in prepare_or_exit(config).config.routes:
        console.print(route.path, style="bold")
        for label, text in _lines(route):
            console.print(f"  {label:<13} {text}")


def _lines(route: RouteConfig) -> Iterator[tuple[str, str]]:
    if route.name not in {None, route.path}:
        yield "name", str(route.name)
    yield "handlers", ", ".join(use.name for use in route.handlers) or "none"
    origins = "its own" if route.allowed_origins is None else ", ".join(route.allowed_origins) or "none"
    yield "origins", f"{origins}, or without one" if route.allow_missing_origin else origins
    yield "authenticate", ", ".join(route.authenticate) or "anyone"
    if route.groups:
        yield "groups", ", ".join(route.groups)
    if route.subprotocols:
        needed = " (one is required)" if route.require_subprotocol else ""
        yield "subprotocols", ", ".join(route.subprotocols) + needed
