"""A gateway whose API revokes, and what programs and clients do with it."""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from gateway import Handler, Refused
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from aiohttp import ClientSession

    from gateway.testing import Served

SECRET = "a secret of thirty-two bytes, or so"
KEY = "tok-" + "ann-1"
PATIENCE_SECONDS = 30

CONFIGURATION = """
listen: {drain_seconds: 0}
api: {tokens: [{name: ops, token: ops-token}], authenticate: [jwt], required_claims: {role: ops}}
authentication:
  jwt:
    leeway_seconds: 5
    issuers:
      - {issuer: i, audience: a, algorithms: [HS256], keys: [{secret: "${SECRET}"}]}
  token: {keys: [{name: main, user: ann, token: "${KEY}"}]}
  ticket: {secret: "${SECRET}", authenticate: [jwt, token]}
routes:
  - {path: /jwt, allow_missing_origin: true, authenticate: [ticket, jwt, token], handlers: [renew]}
"""
ENVIRONMENT = {"SECRET": SECRET, "KEY": KEY}


class Renew(Handler):
    """A handler that takes each message for a token."""

    async def on_message(self, connection: Any, message: Any) -> None:
        """Renew the identity, and say what became of it."""
        try:
            connection.send((await connection.refresh(message)).token_id or "renewed")
        except Refused as refused:
            connection.send(f"{refused.refusal.status} {refused.detail}")


def issue(user: str = "ann", seconds: float = 300, **claims: Any) -> str:
    """Make a JWT."""
    now = time.time()
    usual = {"iss": "i", "aud": "a", "sub": user, "exp": now + seconds, "iat": now, "role": "ops"}
    return jwt.encode(usual | claims, SECRET, "HS256")


def bearer(token: str) -> dict[str, str]:
    """Give the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


class Client:
    """What programs and clients do with a gateway."""

    def __init__(self, server: Served, http: ClientSession) -> None:
        self.server = server
        self._http = http

    async def post(self, path: str, body: Any, token: str = "ops-token") -> tuple[int, Any]:
        """Call the API, and give the status and the answer's JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._http.post(self.server.http_url(path), data=data, headers=bearer(token)) as response:
            return response.status, await response.json()

    async def revoke(self, **body: Any) -> int:
        """Revoke; give how many connections that ends."""
        status, answer = await self.post("/api/revoke", body)
        assert status == 200, answer
        assert set(answer) == {"node", "connections", "expires_at"}
        return int(answer["connections"])

    def open(self, token: str) -> Any:
        """Open a connection with a token."""
        return self.server.connect("/jwt", additional_headers=bearer(token))

    async def judged(self, token: str) -> dict[str, Any]:
        """Give what becomes of a token wherever one can be shown."""
        found: dict[str, Any] = {}
        try:
            async with self.open(token):
                found["opening"] = 101
        except InvalidStatus as refused:
            found["opening"] = refused.response.status_code
        found["ticket"], _ = await self.post("/api/tickets", {}, token)
        found["api"], _ = await self.post("/api/publish", {"group": "none", "data": 1}, token)
        async with self.open(issue(iat=time.time() + 4)) as other:
            await other.send(token)
            said = str(await other.recv())
            found["refresh"] = int(said[:3]) if said[:3].isdecimal() else 200
        return found


@pytest.fixture
def start(http: ClientSession, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[Client]]:
    """Give a function that serves such a gateway, with more settings, from the same folder each time."""

    @asynccontextmanager
    async def start(text: str = "", *, leeway_seconds: float = 5) -> AsyncIterator[Client]:
        whole = CONFIGURATION.replace("leeway_seconds: 5", f"leeway_seconds: {leeway_seconds}") + text
        async with serve(tmp_path, whole, handlers={"renew": Renew}, environ=ENVIRONMENT) as server:
            yield Client(server, http)

    return start


@pytest.fixture(name="issue")
def give_issue() -> Callable[..., str]:
    """Give a function that makes a JWT."""
    return issue


@pytest.fixture
async def client(start: Callable[..., AbstractAsyncContextManager[Client]]) -> AsyncIterator[Client]:
    """A gateway with an API, tickets and renewals, and what is done with it."""
    async with start() as client:
        yield client
