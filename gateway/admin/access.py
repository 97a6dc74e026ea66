"""Who may call the HTTP API: a static token, or a way to authenticate and the claims that it asks for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from gateway.auth.credentials import bearer_token, find
from gateway.auth.pipeline import ask_admission, authenticate
from gateway.auth.token import fitting
from gateway.core.opening import Opening
from gateway.core.request import OpeningRequest
from gateway.core.selection import has_claims
from gateway.protocol.head import RequestHead, parse_head
from gateway.protocol.origin import OriginPolicy, own_origin
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sanic import Request

    from gateway.config.models import ApiConfig
    from gateway.core.node import Node
    from gateway.plugin.authenticator import Authenticator

__all__ = ["ApiAccess"]

# A browser sends them on its own, whoever wrote the page that makes it ask.
_AMBIENT: Final = frozenset({"cookie"})


class ApiAccess:
    """The judge of who calls the API.

    Args:
        node: The node.
        config: The API's settings.
        ways: The ways that `api.authenticate` names, with their names.
        admission: The plugins' admission hooks, with the plugins' names.
        client: Gives the address of who asks, and the scheme that they speak.
        seconds: For how long the ways may judge.
    """

    def __init__(
        self,
        node: Node,
        config: ApiConfig,
        ways: Sequence[tuple[str, Authenticator[Any]]],
        admission: Sequence[tuple[str, Callable[..., Any]]],
        client: Callable[[Request], tuple[str, str]],
        seconds: float,
    ) -> None:
        self._node = node
        self._ways = tuple(ways)
        self._admission = tuple(admission)
        self._client = client
        self._seconds = seconds
        self._required = config.required_claims
        self._names = [entry.name for entry in config.active_tokens]
        self._digests = [entry.digest for entry in config.active_tokens if entry.digest is not None]
        self._origins = OriginPolicy.from_config(None, missing=True)

    async def identify(self, request: Request) -> str:
        """Give the name of who calls: a token's, or the way's and the user id.

        Raises:
            Refused: If they may not call.
        """
        fields = request.headers.getall("authorization", [])
        given = bearer_token(fields[0]) if len(fields) == 1 else None
        found = None if given is None else fitting(given, self._digests)
        if found is not None:
            return self._names[found]
        if not self._ways:
            raise refuse("unauthorized")
        try:
            async with asyncio.timeout(self._seconds):
                return await self._ask_ways(request)
        except TimeoutError:
            raise refuse("check_timeout") from None

    async def _ask_ways(self, request: Request) -> str:
        address, scheme = self._client(request)
        head = parse_head(request.head, max_lines=len(request.head))
        hosts = head.fields.get("host", [])
        if not self._origins.admits(
            head.fields.get("origin", []), own_origin(scheme, hosts[0]) if hosts else None
        ):
            raise refuse("origin_not_allowed")
        fields = {name: values for name, values in head.fields.items() if name not in _AMBIENT}
        asked = OpeningRequest(
            RequestHead(head.method, request.path, head.version, fields, b""), request.path
        )
        opening = Opening(
            asked,
            request.path,
            {},
            address,
            None,
            credential=find(asked, ("header",)),
            peer_certificate=request.transport.get_extra_info("peercert") or None,
        )
        identity = await authenticate(opening, self._ways, self._node.revocations)
        assert identity is not None  # noqa: S101 - there is at least one way
        await ask_admission(opening, self._admission, self._node.revocations)
        if not has_claims(identity.claims, self._required):
            raise refuse("forbidden", "claims do not open the API")
        return f"{identity.proved_by}:{identity.user}"

    def refused(self, request: Request, status: int, error: str, detail: str) -> None:
        """Log a refusal."""
        address, _ = self._client(request)
        self._node.log.info(
            "api_refused",
            logger="gateway.api",
            status=status,
            error=error,
            detail=detail,
            path=request.path,
            remote=address,
        )
