"""Tests of renewals through the way `forward`: what the service is asked about a newer token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway import Handler, Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served


class Renew(Handler):
    """A handler that takes each message for a token."""

    async def on_message(self, connection: Any, message: Any) -> None:
        """Renew the identity, and say what became of it."""
        try:
            identity = await connection.refresh(message)
            connection.send_json([identity.user, dict(identity.claims)])
        except Refused as refused:
            connection.send_json(refused.refusal.error)


async def test_the_service_is_asked_about_the_token_alone(
    service: Any, serve_gateway: Callable[..., Awaitable[Served]], token: str
) -> None:
    """The service gets the newer token, and none of the credentials with which the connection was opened."""
    way = {
        "url": f"http://127.0.0.1:{service.port}/auth",
        "headers": ["authorization", "x-api-key", "cookie"],
        "extra_headers": ["accept-language"],
        "forward_query": True,
    }
    server = await serve_gateway(
        f"authentication: {json.dumps({'forward': way})}\n"
        "routes: [{path: /who, authenticate: [forward], credentials_from: [subprotocol], handlers: [renew],\n"
        "  subprotocols: [chat], allowed_origins: ['https://app.test']}]\n",
        handlers={"renew": Renew},
    )
    headers = {"X-Api-Key": "old-key", "Cookie": "session=old-session", "Accept-Language": "de"}
    async with server.connect(
        "/who?key=old-query",
        additional_headers=headers,
        origin="https://app.test",
        subprotocols=["chat", "bearer.old-token"],
    ) as client:
        service.answer = lambda _: service.identity(claims={"renewed": True})
        await client.send(token)
        assert json.loads(await client.recv()) == ["ann", {"renewed": True}]
        service.answer = lambda _: service.reply(401)
        await client.send(f"{token}-bad")
        assert json.loads(await client.recv()) == "unauthorized"
        service.answer = lambda _: service.reply(500)
        await client.send(f"{token}-unknown")
        assert json.loads(await client.recv()) == "auth_unavailable"
    first, *renewals = service.fields
    assert {first["x-api-key"], first["cookie"]} == {"old-key", "session=old-session"}
    assert [fields["authorization"] for fields in renewals] == [
        f"Bearer {token}",
        f"Bearer {token}-bad",
        f"Bearer {token}-unknown",
    ]
    assert not any("old" in head for head in service.heads[1:])
    assert all(fields["accept-language"] == "de" for fields in renewals)
    assert token not in server.stream.getvalue()
