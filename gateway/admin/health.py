"""`/healthz`: the process answers. `/readyz`: it takes connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sanic import Blueprint
from sanic.response import HTTPResponse, json

if TYPE_CHECKING:
    from sanic import Request

    from gateway.core.node import Node

__all__ = ["health_blueprint"]


def health_blueprint(node: Node) -> Blueprint:
    """Make the health checks of a node."""
    blueprint = Blueprint("gateway_health")

    async def healthz(_: Request) -> HTTPResponse:
        return _answer("ok")

    async def readyz(_: Request) -> HTTPResponse:
        if node.draining:
            return _answer("draining", 503)
        return _answer("broker down", 503) if node.broker_is_down else _answer("ready")

    # Load balancers ask with HEAD as well.
    blueprint.add_route(healthz, "/healthz", methods=["GET", "HEAD"])
    blueprint.add_route(readyz, "/readyz", methods=["GET", "HEAD"])
    return blueprint


def _answer(text: str, status: int = 200) -> HTTPResponse:
    return json({"status": text}, status=status, headers={"cache-control": "no-store"})
