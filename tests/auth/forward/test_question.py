"""Tests of what the way `forward` asks its service."""

from __future__ import annotations

from typing import Any

from gateway import Opening, OpeningRequest
from gateway.auth.forward import ForwardAuthenticator
from gateway.config.models import ForwardWayConfig
from gateway.protocol.head import parse_head


async def test_the_listed_headers_and_the_gateways_own(
    start: Any, service: Any, said: Any, token: str
) -> None:
    """The service sees what is listed and what the gateway knows, and nothing else of the client's."""
    server = await start(extra_headers=["X-Device"])
    headers = {
        "Authorization": f"Bearer {token}",
        "Cookie": "session=hush",
        "X-Device": "phone 7",
        "X-Forwarded-For": "203.0.113.7",
        "X-Original-URI": "/admin",
        "X-Original-Method": "DELETE",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Gateway-Route": "admin",
        "Accept-Encoding": "gzip",
    }
    await said(server, "/who/a%20%C3%BC?token=hush&x=1", additional_headers=headers)
    assert service.heads[0].startswith("GET /auth HTTP/1.1\r\n")
    assert service.fields == [
        {
            "host": f"127.0.0.1:{service.port}",
            "authorization": f"Bearer {token}",
            "x-device": "phone 7",
            "accept": "application/json",
            "accept-encoding": "identity",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-host": f"localhost:{server.port}",
            "x-original-method": "GET",
            "x-original-uri": "/who/a%20%C3%BC",
            "x-gateway-route": "/who/%7Ba%7D",
        }
    ]


async def test_the_query_if_told(start: Any, service: Any, said: Any) -> None:
    """With `forward_query` the query follows the path, as it was sent."""
    server = await start(forward_query=True)
    await said(server, "/who?a=%20b&c")
    assert service.fields[0]["x-original-uri"] == "/who?a=%20b&c"


async def test_cookies_if_listed(start: Any, service: Any, said: Any, refused: Any) -> None:
    """A listed Cookie header is a credential; pages of other origins cannot use it."""
    server = await start(headers=["cookie"], route=", allowed_origins: ['https://example.com']")
    headers = {"Cookie": "session=7"}
    assert (await said(server, additional_headers=headers, origin="https://example.com"))[0] == "ann"
    assert service.fields[0]["cookie"] == "session=7"
    for origin in ("https://evil.example", None):
        await refused(server, 403, "origin_not_allowed", additional_headers=headers, origin=origin)
    assert len(service.heads) == 1


async def test_a_credential_from_another_place_goes_on_as_authorization(
    start: Any, service: Any, said: Any, refused: Any, token: str
) -> None:
    """What a browser sends as a subprotocol is asked about like a header."""
    server = await start(route=", subprotocols: [chat]")
    await said(server, subprotocols=["chat", f"bearer.{token}"], additional_headers={})
    assert service.fields[0]["authorization"] == f"Bearer {token}"
    assert "sec-websocket-protocol" not in service.fields[0]
    both = {"subprotocols": ["chat", f"bearer.{token}"]}
    detail = await refused(
        server, 401, "unauthorized", additional_headers={"Authorization": "Basic YTpi"}, **both
    )
    assert detail == "more than one credential"
    assert len(service.heads) == 1


async def test_without_credentials_the_next_way_is_asked(
    start: Any, service: Any, said: Any, refused: Any
) -> None:
    """The service is not asked about nobody."""
    server = await start(ways="forward, token", headers=["x-session"], extra_headers=["authorization"])
    assert (await said(server))[2] == "token"
    assert service.heads == []
    assert (await said(server, additional_headers={"X-Session": "7"}))[2] == "forward"
    assert await refused(server, 401, "unauthorized", additional_headers={}) == "no credentials"


async def test_bytes_go_on_as_they_came(service: Any) -> None:
    """What is not ASCII in a header is passed on byte for byte; a path cannot break out of its header."""
    way = ForwardAuthenticator(
        ForwardWayConfig(url=f"http://127.0.0.1:{service.port}/", headers=("x-a",), cache_seconds=0)
    )
    head = parse_head(b"GET /x HTTP/1.1\r\nHost: h\r\nX-A: \xff\xc3\xbc\r\nX-A: 2", max_lines=9)
    opening = Opening(OpeningRequest(head, "/x\r\nX-Evil: 1\r\n世"), "r", {}, "::1", None)
    way.on_start(None)  # type: ignore[arg-type]
    assert await way.authenticate(opening) is not None
    await way.on_stop()
    assert "X-A: \xff\xc3\xbc\r\nX-A: 2".lower() in service.heads[0].lower()
    assert service.fields[0]["x-original-uri"] == "/x%0D%0AX-Evil:%201%0D%0A%E4%B8%96"
    assert "x-evil" not in service.fields[0]


async def test_cookies_of_the_service_are_not_kept(start: Any, service: Any, said: Any) -> None:
    """What the service sets for one user is not sent for the next; one TCP connection serves both."""
    service.answer = lambda _: service.reply(200, b'{"user": "ann"}', "Set-Cookie: sid=ann; Path=/")
    server = await start()
    await said(server, token="tok-ann")
    await said(server, token="tok-bob")
    assert [fields.get("cookie") for fields in service.fields] == [None, None]
    assert service.connections == 1
