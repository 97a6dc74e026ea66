"""Who may call the HTTP API: a static token, or a way to authenticate and the claims that it asks for."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Final

from gateway.admin.sessions import COOKIE, Caller, Session
from gateway.auth.credentials import bearer_token, cookie_values, find
from gateway.auth.failed_checks import FailedChecks
from gateway.auth.pipeline import ask_admission, authenticate
from gateway.auth.token import fitting
from gateway.config.models.access import SCOPES
from gateway.core.opening import Opening
from gateway.core.request import OpeningRequest
from gateway.core.selection import has_claims
from gateway.observe.turned_away import count_limit
from gateway.protocol.head import RequestHead, parse_head
from gateway.protocol.origin import OriginPolicy
from gateway.protocol.refusals import Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sanic import Request

    from gateway.admin.sessions import Sessions
    from gateway.config.models import ApiConfig
    from gateway.core.identity import Identity
    from gateway.core.node import Node
    from gateway.plugin.authenticator import Authenticator

__all__ = ["ApiAccess"]

# A browser sends them on its own, whoever wrote the page that makes it ask.
_AMBIENT: Final = frozenset({"cookie"})
# Only a page of the same origin can set it: for another the browser would have to be allowed first.
_OWN_PAGE: Final = "x-gateway-admin"


class ApiAccess:
    """The judge of who calls the API.

    Args:
        node: The node.
        config: The API's settings.
        ways: The ways that `api.authenticate` names, with their names.
        admission: The plugins' admission hooks, with the plugins' names.
        client: Gives the address of who asks, and the scheme that they speak.
        seconds: For how long the ways may judge.
        sessions: Those of the dashboard; `None` where there is none.
    """

    def __init__(
        self,
        node: Node,
        config: ApiConfig,
        ways: Sequence[tuple[str, Authenticator[Any]]],
        admission: Sequence[tuple[str, Callable[..., Any]]],
        client: Callable[[Request], tuple[str, str]],
        seconds: float,
        sessions: Sessions | None = None,
    ) -> None:
        self.sessions = sessions
        """Those of the dashboard; `None` where there is none."""
        self._node = node
        self._ways = tuple(ways)
        self._admission = tuple(admission)
        self._client = client
        self._seconds = seconds
        self._checks = FailedChecks(node)
        self._required = config.required_claims
        self._scopes_claim = config.scopes_claim
        self._callers = [Caller(entry.name, frozenset(entry.scopes)) for entry in config.active_tokens]
        self._digests = [entry.digest for entry in config.active_tokens if entry.digest is not None]
        self._origins = OriginPolicy.from_config(None, missing=True)

    @property
    def has_tokens(self) -> bool:
        """Whether there are static tokens."""
        return bool(self._callers)

    def token(self, given: str) -> Caller | None:
        """Give whose static token this is, in a time that tells nothing; `None`: nobody's."""
        found = fitting(given, self._digests)
        return None if found is None else self._callers[found]

    async def identify(self, request: Request) -> Caller:
        """Find out who calls: by a static token, a session where there are some, or one of the ways.

        Raises:
            Refused: If they may not call.
        """
        try:
            return await self._identify(request)
        except Refused as refused:
            count_limit(self._node.metrics, refused)
            raise

    async def _identify(self, request: Request) -> Caller:
        fields = request.headers.getall("authorization", [])
        given = bearer_token(fields[0]) if len(fields) == 1 else None
        caller = None if given is None else self.token(given)
        if caller is not None:
            return caller
        if self.sessions is not None and not fields and request.headers.get(_OWN_PAGE) == "1":
            return self._session(self._request(request)).caller
        if not self._ways:
            raise refuse("unauthorized")
        return await self._checks.within(self._seconds, self._ask_ways(request), path=request.path)

    async def identify_opening(self, opening: Opening) -> Session:
        """Find out who opens a connection of operators: by a static token, a way, or a session.

        The gate has judged the origin: a page of another one does not come here, with whatever cookies.

        Raises:
            Refused: If they may not.
        """
        given = opening.credential
        if given is not None:
            caller = self.token(given.value)
            if caller is None and self._ways:
                asked = _without_ambient(opening.request)
                caller = await self._judge(dataclasses.replace(opening, request=asked))
            if caller is None:
                raise refuse("unauthorized")
            return Session(caller, math.inf)
        if not opening.request.get_all("origin"):
            raise refuse("unauthorized", "a session without an origin")
        return self._session(opening.request)

    def session_end(self, request: Request) -> float | None:
        """Give when the session of a request ends that has been let in; `None` if it has a token."""
        if self.sessions is None or request.headers.get("authorization") is not None:
            return None
        return self._session(self._request(request)).ends_at

    def _request(self, request: Request) -> OpeningRequest:
        """Give a request as ways see it, if it comes from no page of another origin."""
        _, scheme = self._client(request)
        head = parse_head(request.head, max_lines=len(request.head))
        if not self._origins.admits_request(head.fields, scheme):
            raise refuse("origin_not_allowed")
        return OpeningRequest(head, request.path)

    def _session(self, request: OpeningRequest) -> Session:
        """Give the session of a request whose origin has been judged."""
        values = cookie_values(request, COOKIE)
        found = None
        if self.sessions is not None and len(values) == 1:
            found = self.sessions.find(values[0])
        if found is None:
            raise refuse("unauthorized", "no session")
        return found

    async def _ask_ways(self, request: Request) -> Caller:
        address, _ = self._client(request)
        asked = _without_ambient(self._request(request))
        opening = Opening(
            asked,
            request.path,
            {},
            address,
            None,
            credential=find(asked, ("header",)),
            peer_certificate=request.transport.get_extra_info("peercert") or None,
        )
        return await self._judge(opening)

    async def _judge(self, opening: Opening) -> Caller:
        identity = await authenticate(opening, self._ways, self._node.revocations)
        assert identity is not None  # noqa: S101 - there is at least one way
        await ask_admission(opening, self._admission, self._node.revocations)
        if not has_claims(identity.claims, self._required):
            raise refuse("forbidden", "claims do not open the API")
        return Caller(f"{identity.proved_by}:{identity.user}", self._scopes(identity))

    def _scopes(self, identity: Identity) -> frozenset[str]:
        if self._scopes_claim is None:
            return frozenset(SCOPES)
        named = identity.claims.get(self._scopes_claim)
        words = named.split() if isinstance(named, str) else named if isinstance(named, list | tuple) else ()
        return frozenset(word for word in SCOPES if word in words)

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


def _without_ambient(request: OpeningRequest) -> OpeningRequest:
    """Give a request without its query, and without what a browser sends on its own."""
    fields = {name: request.get_all(name) for name in request.headers if name not in _AMBIENT}
    return OpeningRequest(RequestHead("POST", request.path, "1.1", fields, b""), request.path)
