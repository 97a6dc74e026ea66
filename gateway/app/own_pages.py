"""What the gateway itself answers over plain HTTP where clients connect, made for its paths alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.admin.health import health_blueprint
from gateway.config.remains import Remains

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sanic import Blueprint

    from gateway.config import GatewayConfig, Loaded
    from gateway.core.node import Node

__all__ = ["own_blueprints"]

_APART: Final = "set admin.port, which gives operators a listener of their own"


def own_blueprints(loaded: Loaded, node: Node) -> Iterator[tuple[Blueprint, str | None]]:
    """Give the blueprints that a start makes with these settings, for their paths: nobody serves them.

    Args:
        loaded: The configuration.
        node: A node, which need not be started.

    Returns:
        Each with a hint to who meets it; `None` without one.
    """
    config = loaded.config
    yield health_blueprint(node), None
    if config.authentication.ticket is not None:
        yield _tickets(config, node), "it is where authentication.ticket gives tickets"
    # Where it cannot be told what is answered, and on which listener, nothing is said of it.
    told = not (isinstance(loaded, Remains) and loaded.lacks(("admin",), ("api",), ("metrics",)))
    if told and config.admin.port is None:
        for blueprint in _for_operators(config, node):
            yield blueprint, _APART


# The API takes a fifth of a second to import: only who has it waits for it.


def _tickets(config: GatewayConfig, node: Node) -> Blueprint:
    from gateway.admin.tickets import ticket_blueprint  # noqa: PLC0415
    from gateway.server.client import client_finder  # noqa: PLC0415

    ticket = config.authentication.ticket
    assert ticket is not None  # noqa: S101 - as the caller has seen
    client = client_finder(config.listen)
    return ticket_blueprint(node, ticket, (), routes=(), client=client, by_cookie=False, seconds=1.0)


def _for_operators(config: GatewayConfig, node: Node) -> Iterator[Blueprint]:
    if config.api.enabled:
        from gateway.admin.access import ApiAccess  # noqa: PLC0415
        from gateway.admin.api import api_blueprint  # noqa: PLC0415
        from gateway.admin.calls import Calls  # noqa: PLC0415
        from gateway.admin.inside import Inside  # noqa: PLC0415
        from gateway.server.client import client_finder  # noqa: PLC0415

        access = ApiAccess(node, config.api, (), (), client_finder(config.listen), 1.0)
        calls = Calls(node, revocation_seconds=1.0, leeway_seconds=0.0, keep=None)
        inside = Inside(node, (), lambda _: None, (), (), dict)
        yield api_blueprint(inside, calls, access, max_body_bytes=config.api.max_body_bytes)
    if config.metrics.enabled and (config.metrics.public or config.api.enabled):
        from gateway.admin.metrics import metrics_blueprint  # noqa: PLC0415
        from gateway.app.figures import ProcessFigures  # noqa: PLC0415

        yield metrics_blueprint(ProcessFigures(node, (), config, lambda: 0).gather, None)
