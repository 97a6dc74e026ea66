from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

API_TOKEN = "api-" + "token-of-ops"
USER_TOKENS = {"ann": "tok-" + "ann-1", "bob": "tok-" + "bob-1"}

CONFIGURATION = """
listen: {drain_seconds: 0}
api:
  tokens:
    - {name: spare, token: "${SPARE:-}"}
    - {name: ops, token: "${API}"}
  max_body_bytes: 2000
authentication:
  token:
    keys:
      - {name: a, user: ann, token: "${ANN}"}
      - {name: b, user: bob, token: "${BOB}"}
routes:
  - {path: /room, allow_missing_origin: true, groups: [news], handlers: [echo]}
  - {path: "/mine", allow_missing_origin: true, authenticate: [token], handlers: [echo]}
"""
ENVIRONMENT = {"API": API_TOKEN, "ANN": USER_TOKENS["ann"], "BOB": USER_TOKENS["bob"]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with the API on, two users, and a route with a group."""
    return await serve_gateway(CONFIGURATION, environ=ENVIRONMENT)


@pytest.fixture
def bearer() -> dict[str, str]:
    """The header that opens the API."""
    return {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
def connect_as(server: Served) -> Callable[[str], Any]:
    """A function that connects as a user."""

    def connect(user: str) -> Any:
        return server.connect("/mine", additional_headers={"Authorization": f"Bearer {USER_TOKENS[user]}"})

    return connect
