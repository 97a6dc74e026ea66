"""Renewal: a newer token for a connection that is open already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from gateway.auth.failed_checks import FailedChecks
from gateway.auth.pipeline import ask_admission, authenticate
from gateway.config.models.forms import is_bearer_token
from gateway.core.opening import Credential, Opening
from gateway.core.request import OpeningRequest
from gateway.observe.turned_away import count_limit
from gateway.protocol.head import RequestHead
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.connection import Connection
    from gateway.core.identity import Identity
    from gateway.plugin.authenticator import Authenticator

__all__ = ["Renewal"]

# Any other field may be a credential of some way, as `X-Api-Key` is.
_NO_CREDENTIALS: Final = ("host", "origin", "user-agent", "accept-language")


class Renewal:
    """The judging of tokens with which handlers renew identities.

    Args:
        ways: By the name of a route, the ways that it names, with their names.
        admission: The plugins' admission hooks, with the plugins' names.
    """

    def __init__(
        self,
        ways: Mapping[str, Sequence[tuple[str, Authenticator[Any]]]],
        admission: Sequence[tuple[str, Callable[..., Any]]],
    ) -> None:
        self._ways = ways
        self._admission = tuple(admission)

    async def judge(self, connection: Connection, token: str) -> Identity:
        """Judge a token as if the connection were opened with it now, as `Authorization: Bearer <token>`.

        Only the token counts: the ways see no field of the opening handshake that could prove an identity,
        not its query, and not the client's certificate. The admission hooks see the fields again.

        Raises:
            Refused: If it is not good; `internal_error` if what judges it fails, which the log tells.
        """
        try:
            return await self._judge(connection, token)
        except Refused as refused:
            count_limit(connection.node.metrics, refused)
            connection.node.log.info(
                "renewal_refused",
                logger="gateway.auth",
                connection=connection.id,
                route=connection.route,
                user=connection.user,
                error=refused.refusal.error,
                detail=refused.detail,
            )
            raise
        except Exception as exc:
            # What fails is no fault of the handler that asks, and shall not be taken for one.
            fields = {"connection": connection.id, "route": connection.route, "user": connection.user}
            FailedChecks(connection.node).failed(exc, **fields)
            raise refuse("internal_error") from exc

    async def _judge(self, connection: Connection, token: Any) -> Identity:
        if not isinstance(token, str) or not is_bearer_token(token):
            raise refuse("unauthorized", "no bearer token")
        former = connection.request
        bearer = {"authorization": [f"Bearer {token}"]}
        fields = {name: former.get_all(name) for name in former.headers}
        opening = Opening(
            _request(connection, {name: fields[name] for name in _NO_CREDENTIALS if name in fields} | bearer),
            connection.route,
            connection.params,
            connection.remote,
            connection.subprotocol,
            credential=Credential(token, "header"),
        )
        revocations = connection.node.revocations
        identity = await authenticate(opening, self._ways[connection.route], revocations)
        if identity is None:
            raise refuse("unauthorized", "the route asks for no identity")
        if connection.identity is None or identity.user != connection.identity.user:
            raise refuse("forbidden", "the token proves another user")
        opening.request = _request(connection, fields | bearer)
        await ask_admission(opening, self._admission, revocations)
        return identity


def _request(connection: Connection, fields: dict[str, list[str]]) -> OpeningRequest:
    # A path parameter may hold `?`, which would begin a query.
    head = RequestHead("GET", quote(connection.path), "1.1", fields, b"")
    return OpeningRequest(head, connection.path)
