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

    @blueprint.get("/healthz")
    async def healthz(_: Request) -> HTTPResponse:
        return json({"status": "ok"}, headers={"cache-control": "no-store"})

    @blueprint.get("/readyz")
    async def readyz(_: Request) -> HTTPResponse:
        if node.draining:
            return json({"status": "draining"}, status=503, headers={"cache-control": "no-store"})
        return json({"status": "ready"}, headers={"cache-control": "no-store"})

    return blueprint
