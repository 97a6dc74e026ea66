"""A gateway whose handlers renew identities, and what makes tokens for it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from gateway import Authenticator, Handler, Identity, Refusal, Refused, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

SECRET = "a secret of thirty-two bytes, or so"
LEEWAY_SECONDS = 1
PATIENCE_SECONDS = 30
FIRST, SECOND, BOBS = "tok-" + "ann-1", "tok-" + "ann-2", "tok-" + "bob-1"

CONFIGURATION = """
listen: {drain_seconds: 0}
authentication:
  jwt:
    leeway_seconds: 1
    issuers:
      - issuer: https://issuer.test
        audience: gateway
        algorithms: [HS256]
        keys: [{secret: "${SECRET}"}]
        groups_claim: groups
  token:
    keys:
      - {name: first, user: ann, token: "${FIRST}", groups: [staff]}
      - {name: second, user: ann, token: "${SECOND}", claims: {role: admin}}
      - {name: bobs, user: bob, token: "${BOBS}"}
  ticket: {secret: "${SECRET}", authenticate: [jwt]}
routes:
  - path: /jwt
    allow_missing_origin: true
    authenticate: [jwt]
    credentials_from: [header, "query:token"]
    groups: [all, "user:{user}"]
    handlers: [renew]
  - {path: /token, allow_missing_origin: true, authenticate: [token], handlers: [renew]}
  - {path: /both, allow_missing_origin: true, authenticate: [jwt, token], handlers: [renew]}
  - {path: "/tickets/{a}", allow_missing_origin: true, authenticate: [ticket, jwt], handlers: [renew]}
  - {path: /open, allow_missing_origin: true, handlers: [renew]}
  - path: /seen
    allowed_origins: ["https://app.test"]
    authenticate: [seen]
    credentials_from: [header, subprotocol, "cookie:session", "query:token"]
    subprotocols: [chat]
    handlers: [renew]
  - path: /slow
    allow_missing_origin: true
    authenticate: [slow]
    groups: ["user:{user}"]
    handlers: [renew]
"""
ENVIRONMENT = {"SECRET": SECRET, "FIRST": FIRST, "SECOND": SECOND, "BOBS": BOBS}


class Renew(Handler):
    """A handler that takes each message for a token; it says what became of it, and how the end came."""

    def on_start(self, node: Any) -> None:
        """Begin with nothing heard, on all routes."""
        node.closes = []

    async def on_message(self, connection: Any, message: Any) -> None:
        """Renew the identity with one token, or with several at once."""
        if message in {"", "hello"}:
            connection.send_json(["hello", connection.identity.user, list(connection.groups)])
        elif message.startswith("at once "):
            tokens = message.removeprefix("at once ").split()
            answers = await asyncio.gather(*map(connection.refresh, tokens), return_exceptions=True)
            ends = [getattr(answer, "expires_at", str(answer)) for answer in answers]
            connection.send_json([ends, connection.identity.expires_at, list(connection.groups)])
        elif message.startswith("leave "):
            connection.leave(message.removeprefix("leave "))
        else:
            await self.renew(connection, message)

    async def renew(self, connection: Any, token: Any) -> None:
        """Renew the identity."""
        try:
            identity = await connection.refresh(token)
        except Refused as refused:
            connection.send_json(["refused", refused.refusal.status, refused.refusal.error, refused.detail])
        else:
            assert connection.identity is identity or not connection.is_open
            connection.send_json(["renewed", identity.user, list(connection.groups)])

    def on_close(self, connection: Any, code: int, reason: str) -> None:
        """Note the end."""
        connection.node.closes.append((code, reason))


class Seen(Authenticator):
    """A way that notes what it sees, and knows one user."""

    def on_start(self, node: Any) -> None:
        """Begin with nothing seen."""
        self.openings: list[Any] = []
        node.seen = self

    def authenticate(self, opening: Any) -> Identity:
        """Note all that could prove an identity."""
        request = opening.request
        self.openings.append(
            {
                "fields": {name: request.get_all(name) for name in request.headers},
                "query": [request.query, dict(request.query_params)],
                "cookies": dict(request.cookies),
                "credential": opening.credential and (opening.credential.value, opening.credential.source),
                "certificate": opening.peer_certificate,
                "where": [opening.route, opening.remote, opening.subprotocol, request.path],
            }
        )
        return Identity("ann")


class Slow(Authenticator):
    """A way whose answers wait until they are let go: tokens are `<user>-<end>`."""

    def on_start(self, node: Any) -> None:
        """Begin with nobody waiting."""
        self.waiting: dict[str, asyncio.Event] = {}
        node.slow = self

    async def authenticate(self, opening: Any) -> Identity:
        """Wait, unless it is the opening handshake."""
        user, _, end = opening.credential.value.partition("-")
        if end:
            event = self.waiting[end] = asyncio.Event()
            await event.wait()
        return Identity(user, expires_at=float(end) if end else None, groups=(f"until-{end}",))


class Plugin:
    """A plugin with these ways, and an admission hook that does as it is told."""

    def __init__(self) -> None:
        self.refuses: Refusal | None = None
        self.admitted: list[Any] = []

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Name them."""
        return {"seen": Seen, "slow": Slow}

    @hookimpl
    def gateway_admit(self, opening: Any) -> Refusal | None:
        """Note the opening, and answer."""
        fields = {name: opening.request.get_all(name) for name in opening.request.headers}
        self.admitted.append((opening.identity, fields))
        return self.refuses


@pytest.fixture
def plugin() -> Plugin:
    """Give the plugin."""
    return Plugin()


@pytest.fixture
def start(
    serve_gateway: Callable[..., Awaitable[Served]], plugin: Plugin
) -> Callable[..., Awaitable[Served]]:
    """Give a function that serves a gateway whose handlers renew identities, with further plugins."""

    async def start(*others: Any) -> Served:
        return await serve_gateway(
            CONFIGURATION, handlers={"renew": Renew}, plugins=[plugin, *others], environ=ENVIRONMENT
        )

    return start


@pytest.fixture
async def server(start: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway whose handlers renew identities."""
    return await start()


@pytest.fixture
def issue() -> Callable[..., str]:
    """Give a function that makes a JWT whose identity ends in so many seconds, leeway included."""

    def issue(user: str = "ann", seconds: float = 300, secret: str = SECRET, **claims: Any) -> str:
        now = time.time()
        ends = now + seconds - LEEWAY_SECONDS
        usual = {"iss": "https://issuer.test", "aud": "gateway", "sub": user, "exp": ends, "iat": now}
        return jwt.encode(usual | claims, secret, "HS256")

    return issue


@pytest.fixture
def bearer() -> Callable[[str], dict[str, Any]]:
    """Give a function that gives the options of a client which shows a token."""

    def bearer(token: str) -> dict[str, Any]:
        return {"additional_headers": {"Authorization": f"Bearer {token}"}}

    return bearer


@pytest.fixture
def say() -> Callable[..., Awaitable[Any]]:
    """Give a function that says something to the handler, and gives its answer."""

    async def say(client: Any, message: str) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await client.send(message)
            return json.loads(await client.recv())

    return say
