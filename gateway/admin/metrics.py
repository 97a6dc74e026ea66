"""`GET /metrics`: the figures of all workers, for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.observe.exposition import expose
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sanic import Request

    from gateway.admin.access import ApiAccess
    from gateway.observe.gathered import Figures

__all__ = ["PATH", "metrics_blueprint"]

PATH: Final = "/metrics"

_GATHER_SECONDS: Final = 2.0
_FIELDS: Final = {"cache-control": "no-store"}


def metrics_blueprint(gather: Callable[[], Awaitable[Figures]], access: ApiAccess | None) -> Blueprint:
    """Make the page of figures. It can be mounted on any listener of the process.

    Args:
        gather: Gives the figures of all workers.
        access: The judge of who reads; `None` lets everybody.
    """
    blueprint = Blueprint("gateway_metrics")

    @blueprint.get(PATH)
    async def metrics(request: Request) -> HTTPResponse:
        if access is not None:
            try:
                if not {"metrics", "read"} & (await access.identify(request)).scopes:
                    raise refuse("forbidden", "scope metrics is missing")
            except Refused as refused:
                refusal = refused.refusal
                access.refused(request, refusal.status, refusal.error, refused.detail)
                headers = {name: value for name, value in refusal.headers if name.lower() != "connection"}
                return _error(refusal.status, refusal.error, refusal.message, headers)
        try:
            async with asyncio.timeout(_GATHER_SECONDS):
                figures = await gather()
        except TimeoutError:
            # This worker's own alone would look like counters that have fallen.
            return _error(503, "figures_unavailable", "the figures of the other workers do not come", {})
        text, content_type = expose(figures, ",".join(request.headers.getall("accept", [])))
        return HTTPResponse(text, content_type=content_type, headers=_FIELDS)

    return blueprint


def _error(status: int, error: str, message: str, headers: dict[str, str]) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers={**_FIELDS, **headers})
