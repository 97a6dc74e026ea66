"""What the service is told, in which order, and by what it knows that the gateway says it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]
    Check = Callable[..., Awaitable[None]]

YAML = """
authentication:
  token:
    keys: [{{name: ada, user: ada, token: token-of-ada, claims: {{role: guest, secret: SECRET}}}}]
routes:
  - path: /orders/{{shop}}
    allow_missing_origin: true
    authenticate: [token]
    groups: ["shop:{{shop}}"]
    handlers:
      - name: webhook
        options:
          url: "{url}"
          secrets: ["{secret}"]
          claims: [role, none]
          headers: [X-Mood, X-None]
          forward_query: true
  - path: /silent
    allow_missing_origin: true
    handlers:
      - name: webhook
        options: {{url: "{url}", secrets: ["{secret}"], events: [close]}}
"""


async def test_life_of_a_connection(service: Any, serve_gateway: Serve, gateway_client: Connect) -> None:
    """Open, messages of both types and close are told in order, with who it is, and nothing unasked."""
    served = await serve_gateway(YAML.format(url=service.url, secret=service.secret))
    path = "/orders/caf%C3%A9?from=mail"
    client = await gateway_client(served, path, token="token-of-ada", headers={"X-Mood": "fine"})
    await client.send("你好 🌍")
    await client.send(b"\x00\xff")
    await client.close(4001, "bye")
    await service.heard("open", "你好 🌍", "message", "close")
    events = [request.event for request in service.requests]
    assert [event["number"] for event in events] == [0, 1, 2, 3]
    assert len({event["id"] for event in events}) == 4
    known = events[0]["connection"]
    assert known["path"] == "/orders/café"
    assert (known["route"], known["params"]) == ("/orders/{shop}", {"shop": "café"})
    assert (known["user"], known["claims"]) == ("ada", {"role": "guest"})
    assert (known["groups"], known["subprotocol"], known["remote"]) == (["shop:café"], None, "127.0.0.1")
    assert all(event["connection"] == known for event in events[1:3])
    assert events[0]["request"] == {"headers": {"x-mood": ["fine"]}, "query": "from=mail"}
    assert base64.b64decode(events[2]["message"]["binary"]) == b"\x00\xff"
    assert events[3]["close"] == {"code": 4001, "reason": "bye"}
    assert not any(word in request.body for request in service.requests for word in (b"SECRET", b"token-of"))


async def test_only_chosen_events_are_told(
    service: Any, serve_gateway: Serve, gateway_client: Connect
) -> None:
    """With `events: [close]` nothing else is; without other options the opening handshake is not told."""
    served = await serve_gateway(YAML.format(url=service.url, secret=service.secret))
    client = await gateway_client(served, "/silent")
    await client.send("hello")
    await client.arrive()
    client.drop()
    await service.heard("close")
    assert service.requests[0].event["close"]["code"] == 1006


async def test_each_connection_keeps_its_order(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """Of many connections at once each is told in order, one event at a time, and many go on together."""
    under_way: list[str] = []
    most = 0

    async def answer(request: Any) -> list[Any]:
        nonlocal most
        connection = request.event["connection"]["id"]
        assert connection not in under_way
        under_way.append(connection)
        most = max(most, len(under_way))
        for _ in range(len(service.requests) % 7):
            await asyncio.sleep(0)
        under_way.remove(connection)
        return [{"type": "send", "text": request.said}]

    service.answer = answer
    served = await serve_webhook(max_connections=4)
    clients = [await gateway_client(served) for _ in range(10)]
    words = [f"message {number}" for number in range(20)]
    for word in words:
        for client in clients:
            await client.send(word)
    for client in clients:
        assert [await client.receive() for _ in range(21)] == ["open", *words]
    assert most > 1
    assert len(service.peers) <= 4
    assert served.errors == []


async def test_requests_are_signed_with_each_key(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """Id, timestamp and body are signed with the new key and with the old one, as Standard Webhooks says."""
    keys = [b"n" * 24, b"o" * 64]
    secrets = ["whsec_" + base64.b64encode(keys[0]).decode(), base64.b64encode(keys[1]).decode()]
    served = await serve_webhook(secrets=secrets)
    await gateway_client(served)
    await service.heard("open")
    (request,) = service.requests
    headers = request.headers
    assert headers["webhook-id"] == request.event["id"]
    assert abs(int(headers["webhook-timestamp"]) - request.event["at"]) < 5
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + request.body
    assert headers["webhook-signature"].split(" ") == [
        "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys
    ]


async def test_nasty_conversations(check_handler: Check, service: Any) -> None:
    """No client makes the handler fail, or harms another."""
    service.answer = lambda request: [{"type": "send", "text": request.said}]
    # Few connections: the service has a task for each, in the same loop, and the check counts tasks.
    options = {"url": service.url, "secrets": [service.secret], "max_connections": 8}
    await check_handler(service.handler, options=options, messages=["hello", b"\x00"])
    events = [request.event for request in service.requests]
    ended = {event["connection"]["id"] for event in events if event["type"] == "close"}
    assert ended == {event["connection"]["id"] for event in events}
