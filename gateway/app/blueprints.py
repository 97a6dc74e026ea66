"""What is answered over HTTP besides opening handshakes: the blueprints, and who may call the operators'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.access import ApiAccess
from gateway.admin.api import api_blueprint
from gateway.admin.calls import Calls
from gateway.admin.health import health_blueprint
from gateway.admin.metrics import metrics_blueprint
from gateway.admin.sessions import Sessions, session_key
from gateway.admin.tickets import ticket_blueprint
from gateway.app.inside import look_inside
from gateway.server.client import client_finder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sanic import Blueprint

    from gateway.app.figures import ProcessFigures
    from gateway.app.policies import Policies
    from gateway.app.prepare import Prepared
    from gateway.auth.revocation_file import RevocationFile
    from gateway.core.node import Node
    from gateway.plugin.authenticator import Authenticator

__all__ = ["client_blueprints", "make_access", "operator_blueprints"]


def client_blueprints(
    prepared: Prepared, node: Node, ways: Mapping[str, Authenticator[Any]]
) -> Iterator[Blueprint]:
    """Make what is always answered where clients connect: health, the plugins' pages, tickets.

    Args:
        prepared: The judged configuration.
        node: The node, started.
        ways: The ways to authenticate that have started, by their names.

    Raises:
        PluginProblem: If a plugin fails to make its own.
    """
    yield health_blueprint(node)
    yield from prepared.plugins.blueprints(node)
    config = prepared.config
    ticket = config.authentication.ticket
    if ticket is not None:
        yield ticket_blueprint(
            node,
            ticket,
            [(name, ways[name]) for name in ticket.authenticate],
            routes={str(route.name) for route in config.routes if "ticket" in route.authenticate},
            client=client_finder(config.listen),
            by_cookie=config.takes_cookies(ticket),
            seconds=config.listen.opening_timeout_seconds,
        )


def make_access(
    prepared: Prepared, node: Node, ways: Mapping[str, Authenticator[Any]], key: str, *, apart: bool
) -> ApiAccess | None:
    """Make the judge of operators; `None` where the API is not enabled.

    Args:
        prepared: The judged configuration.
        node: The node.
        ways: The ways to authenticate that have started, by their names.
        key: The secret of which that of the dashboard's sessions is derived.
        apart: Whether operators have a listener of their own; only there is a dashboard, with sessions.
    """
    config = prepared.config
    if not config.api.enabled:
        return None
    tokens, seconds = config.api.active_tokens, config.admin.session_seconds
    return ApiAccess(
        node,
        config.api,
        [(name, ways[name]) for name in config.api.authenticate],
        prepared.plugins.admission(),
        client_finder(config.admin.listen(config.listen) if apart else config.listen),
        config.listen.opening_timeout_seconds,
        Sessions(tokens, session_key(key), seconds, node.now) if apart else None,
    )


def operator_blueprints(
    prepared: Prepared,
    node: Node,
    policies: Policies,
    access: ApiAccess | None,
    revocation_file: RevocationFile | None,
    figures: ProcessFigures | None,
) -> Iterator[Blueprint]:
    """Make what operators are answered on either listener: the HTTP API and the figures.

    Args:
        prepared: The judged configuration.
        node: The node.
        policies: The policies of groups.
        access: The judge of operators; `None` makes no API, and shows the figures only if they are public.
        revocation_file: Where revocations outlive this process; `None`: nowhere.
        figures: What the process counts; `None` for nothing.
    """
    config = prepared.config
    if access is not None:
        calls = Calls(
            node,
            revocation_seconds=config.revocation.seconds,
            leeway_seconds=config.authentication.longest_leeway_seconds,
            keep=None if revocation_file is None else revocation_file.keep,
        )
        inside = look_inside(prepared, node, policies)
        yield api_blueprint(inside, calls, access, max_body_bytes=config.api.max_body_bytes)
    if figures is not None and (config.metrics.public or access is not None):
        yield metrics_blueprint(figures.gather, None if config.metrics.public else access)
