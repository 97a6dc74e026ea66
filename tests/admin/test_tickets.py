"""Tests of `POST /api/tickets` and the way `ticket`, end to end."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from gateway import Authenticator, Handler, Identity, hookimpl
from gateway.broker.contract import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientSession

    from gateway.testing import Served

TOKEN = "tok-" + "marker-0123456789"
SECRET = "a secret of thirty-two bytes, or so"

CONFIGURATION = """
listen: {drain_seconds: 0}
authentication:
  token:
    keys:
      - {name: a, user: ann, token: "${TOKEN}", claims: {role: admin}, groups: [staff]}
      - {name: big, user: bob, token: big, claims: {x: "${BIG}"}}
  ticket: {secret: "${SECRET}", authenticate: [token, late]}
routes:
  - path: /who
    name: who
    allow_missing_origin: true
    authenticate: [ticket]
    subprotocols: [chat]
    handlers: [who]
  - {path: /else, name: else, allow_missing_origin: true, authenticate: [token, ticket], handlers: [who]}
  - {path: /token, name: token, allow_missing_origin: true, authenticate: [token], handlers: [who]}
"""
ENVIRONMENT = {"TOKEN": TOKEN, "SECRET": SECRET, "BIG": "x" * 4000}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


BODIES: Any = (
    (b"", 201, None),
    (b"{}", 201, None),
    ({"routes": None}, 201, None),
    ({"routes": ["who", "else"]}, 201, None),
    ({"routes": []}, 400, "routes"),
    ({"routes": ["who", "nowhere"]}, 400, "routes[1]: no route of this name takes tickets"),
    ({"routes": ["token"]}, 400, "routes[0]: no route of this name takes tickets"),
    ({"routes": "who"}, 400, "routes"),
    ({"routes": [7]}, 400, "routes[0]"),
    ({"user": "eve"}, 400, "unknown key"),
    (b"[]", 400, ""),
    (b"{", 400, "body is not json"),
    (b"\xff", 400, "body is not json"),
    (b" " * 20_000, 413, "body too big"),
)


class Who(Handler):
    """A handler that says who connected."""

    def on_open(self, connection: Any) -> None:
        """Send the identity and the groups."""
        identity = connection.identity
        connection.send_json([identity.user, dict(identity.claims), identity.proved_by, connection.groups])


class Late(Authenticator):
    """A way that does as the header `X-Late` says."""

    async def authenticate(self, opening: Any) -> Identity | None:
        """Take long, or give an identity that ends soon; `None` without the header."""
        how = opening.request.headers.get("x-late")
        if how == "hang":
            await asyncio.Event().wait()
        assert (opening.route, opening.remote, opening.subprotocol) == ("/api/tickets", "127.0.0.1", None)
        assert opening.request.path == "/api/tickets"
        return Identity("eve", expires_at=time.time() + float(how)) if how else None


class LatePlugin:
    """A plugin with that way."""

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Name it."""
        return {"late": Late}


@pytest.fixture
def start(serve_gateway: Callable[..., Awaitable[Served]]) -> Callable[..., Awaitable[Served]]:
    """A function that serves a gateway with tickets."""

    async def start(text: str = CONFIGURATION) -> Served:
        return await serve_gateway(text, handlers={"who": Who}, plugins=[LatePlugin()], environ=ENVIRONMENT)

    return start


@pytest.fixture
async def server(start: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway whose routes take tickets."""
    return await start()


@pytest.fixture
def ask(http: ClientSession) -> Callable[..., Awaitable[Any]]:
    """A function that asks for a ticket, and gives the answer's JSON after a look at all else of it."""

    async def ask(server: Served, status: int, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = headers or BEARER
        async with http.post(server.http_url("/api/tickets"), data=data, headers=sent) as response:
            answer = await response.json()
            assert response.status == status, answer
            assert response.headers["Cache-Control"] == "no-store"
            assert not [name for name in response.headers if name.lower().startswith("access-control")]
            assert ("WWW-Authenticate" in response.headers) is (status == 401)
        if status == 201:
            assert set(answer) == {"ticket", "expires_in_seconds"}
        else:
            assert set(answer) == {"error", "message"}
            assert TOKEN not in str(answer)
        return answer

    return ask


@pytest.fixture
def said(server: Served) -> Callable[..., Awaitable[Any]]:
    """A function that opens a connection which is let in; it gives what the handler says."""

    async def said(path: str, server: Served = server, **options: Any) -> Any:
        async with server.connect(path, **options) as client:
            return [*json.loads(await client.recv()), client.subprotocol]

    return said


@pytest.fixture
def refused(server: Served) -> Callable[..., Awaitable[str]]:
    """A function that opens a connection which is refused; it gives the detail in the log."""

    async def refused(path: str, status: int, error: str, **options: Any) -> str:
        with pytest.raises(InvalidStatus) as caught:
            await server.connect(path, **options)
        response = caught.value.response
        assert (response.status_code, json.loads(response.body or b"")["error"]) == (status, error)
        line = [line for line in server.log if line["event"] == "opening_refused"][-1]
        return str(line["detail"])

    return refused


class TestUse:
    """What a ticket opens."""

    async def test_in_the_query_once(self, server: Served, ask: Any, said: Any, refused: Any) -> None:
        """A ticket opens one connection, with the identity of who asked for it; no log line has it."""
        answer = await ask(server, 201)
        ticket = answer["ticket"]
        assert answer["expires_in_seconds"] == 10
        assert await said(f"/who?ticket={ticket}") == ["ann", {"role": "admin"}, "ticket", ["staff"], None]
        assert await refused(f"/who?ticket={ticket}", 401, "unauthorized") == "ticket was used before"
        assert await refused(f"/else?ticket={ticket}", 401, "unauthorized") == "ticket was used before"
        for secret in (ticket, ticket.split(".")[2], TOKEN, SECRET):
            assert secret not in server.stream.getvalue()
        assert [line["user"] for line in server.log if line["event"] == "ticket_given"] == ["ann"]

    async def test_as_a_subprotocol(self, server: Served, ask: Any, said: Any, refused: Any) -> None:
        """Beside the real one, which is the only one that is answered."""
        ticket = (await ask(server, 201))["ticket"]
        assert (await said("/who", subprotocols=["chat", f"ticket.{ticket}"]))[4] == "chat"
        detail = await refused("/who", 401, "unauthorized", subprotocols=["chat", f"ticket.{ticket}"])
        assert detail == "ticket was used before"
        assert ticket not in server.stream.getvalue()

    async def test_on_another_node(self, server: Served, start: Any, ask: Any, said: Any) -> None:
        """A node that shares nothing but the secret takes the ticket."""
        other = await start()
        ticket = (await ask(server, 201))["ticket"]
        assert (await said(f"/who?ticket={ticket}", server=other))[0] == "ann"

    async def test_two_at_once(self, server: Served, ask: Any) -> None:
        """Of many openings with one ticket, one succeeds."""
        ticket = (await ask(server, 201))["ticket"]
        openings = [server.connect(f"/who?ticket={ticket}") for _ in range(10)]
        results = await asyncio.gather(*openings, return_exceptions=True)
        assert sum(isinstance(result, InvalidStatus) for result in results) == 9
        for result in results:
            if not isinstance(result, BaseException):
                await result.close()

    async def test_for_certain_routes(self, server: Served, ask: Any, said: Any, refused: Any) -> None:
        """A ticket for other routes is 403, and is not used up by that."""
        ticket = (await ask(server, 201, {"routes": ["else"]}))["ticket"]
        assert await refused(f"/who?ticket={ticket}", 403, "forbidden") == "ticket is for other routes"
        assert (await said(f"/else?ticket={ticket}"))[0] == "ann"

    @pytest.mark.parametrize("query", ["ticket=x", "ticket=..", "ticket=%00", "ticket=" + "x" * 5000])
    async def test_what_is_no_ticket(self, server: Served, refused: Any, query: str) -> None:
        """Anything else in its place is refused."""
        await refused(f"/who?{query}", 401, "unauthorized")

    async def test_other_places(self, server: Served, ask: Any, refused: Any) -> None:
        """A ticket elsewhere is none, two are none, and an empty one is nothing at all."""
        first, second = (await ask(server, 201))["ticket"], (await ask(server, 201))["ticket"]
        detail = await refused(f"/who?ticket={first}&ticket={second}", 401, "unauthorized")
        assert detail == "more than one ticket"
        both = {"subprotocols": ["chat", f"ticket.{second}"]}
        assert await refused(f"/who?ticket={first}", 401, "unauthorized", **both) == detail
        for path, headers in (
            ("/who?ticket=", {}),
            (f"/who?Ticket={first}", {}),
            ("/who", {"Authorization": f"Bearer {first}"}),
            ("/who", {"Cookie": f"ticket={first}"}),
        ):
            detail = await refused(path, 401, "unauthorized", additional_headers=headers)
            assert detail == "no credentials"
        await refused(f"/token?ticket={first}", 401, "unauthorized")
        await refused("/else", 401, "unauthorized", additional_headers={"Authorization": f"Bearer {first}"})
        await refused("/token", 401, "unauthorized", additional_headers={"Authorization": f"Bearer {first}"})

    async def test_the_first_way_that_finds_credentials_decides(
        self, server: Served, ask: Any, said: Any
    ) -> None:
        """A route may take tickets beside another way."""
        ticket = (await ask(server, 201))["ticket"]
        assert (await said("/else", additional_headers=BEARER))[2] == "token"
        assert (await said(f"/else?ticket={ticket}"))[2] == "ticket"

    async def test_a_broker_that_is_down(
        self, server: Served, ask: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When nobody can say whether a ticket was used, it opens nothing."""

        async def claim(_: str, __: float) -> bool:
            raise BrokerUnavailableError("not connected")

        ticket = (await ask(server, 201))["ticket"]
        monkeypatch.setattr(server.node.broker, "claim", claim)
        detail = await refused(f"/who?ticket={ticket}", 503, "auth_unavailable")
        assert detail == "broker unavailable: not connected"

    async def test_an_identity_that_ends_before_its_ticket(
        self, server: Served, ask: Any, refused: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A ticket ends with the identity, to the moment."""
        answer = await ask(server, 201, **{"X-Late": "3"})
        assert 2 < answer["expires_in_seconds"] <= 3
        later = time.time() + 3.5
        monkeypatch.setattr(time, "time", lambda: later)
        detail = await refused(f"/who?ticket={answer['ticket']}", 401, "unauthorized")
        assert detail == "ticket's identity has ended"


class TestAsking:
    """Who gets a ticket."""

    async def test_without_good_credentials(self, server: Served, ask: Any) -> None:
        """No credentials, wrong ones, two, or a ticket buy no ticket; the log says so without them."""
        ticket = (await ask(server, 201))["ticket"]
        for headers in (
            {"X": "y"},
            {"Authorization": "Bearer tok-wrong"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": f"Bearer {ticket}"},
            {"Cookie": f"token={TOKEN}"},
            {"Sec-WebSocket-Protocol": f"bearer.{TOKEN}"},
        ):
            assert (await ask(server, 401, **headers))["error"] == "unauthorized"
        lines = [line for line in server.log if line["event"] == "ticket_refused"]
        assert len(lines) == 6
        assert {(line["status"], line["error"], line["remote"]) for line in lines} == {
            (401, "unauthorized", "127.0.0.1")
        }
        for secret in (TOKEN, ticket, "tok-wrong"):
            assert secret not in server.stream.getvalue()

    async def test_bodies(self, server: Served, ask: Any, subtests: pytest.Subtests) -> None:
        """The body may be empty, and may name routes; what else it holds is refused."""
        for body, status, message in BODIES:
            with subtests.test(body=body):
                answer = await ask(server, status, body)
                if message is not None:
                    assert message in answer["message"]
                    assert "nowhere" not in answer["message"]

    async def test_methods(self, server: Served, http: ClientSession, subtests: pytest.Subtests) -> None:
        """Another method than POST is 405, and CORS is not offered."""
        headers = {**BEARER, "Origin": "https://example.com", "Access-Control-Request-Method": "POST"}
        url = server.http_url("/api/tickets")
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
            with subtests.test(method=method):
                async with http.request(method, url, headers=headers) as response:
                    assert response.status == 405
                    assert response.headers["Allow"] == "POST"
                    assert not [
                        name for name in response.headers if name.lower().startswith("access-control")
                    ]

    async def test_origins(self, server: Served, ask: Any) -> None:
        """The page's own origin may ask, and so may programs; another origin may not, whatever it proves."""
        await ask(server, 201, **BEARER, Origin=f"http://localhost:{server.port}")
        for origin in ("https://evil.example", "null", f"https://localhost:{server.port}", ""):
            assert (await ask(server, 403, **BEARER, Origin=origin))["error"] == "origin_not_allowed"

    async def test_a_big_identity(self, server: Served, ask: Any) -> None:
        """An identity that does not fit into a ticket is told so."""
        assert (await ask(server, 422, Authorization="Bearer big"))["error"] == "ticket_too_big"

    async def test_a_way_that_hangs(self, start: Any, ask: Any) -> None:
        """The deadline of opening handshakes holds here too."""
        server = await start(
            CONFIGURATION.replace("{drain_seconds", "{opening_timeout_seconds: 0.2, drain_seconds")
        )
        assert (await ask(server, 503, **{"X-Late": "hang"}))["error"] == "check_timeout"
        (line,) = server.errors
        assert (line["event"], line["path"], line["seconds"]) == (
            "opening_check_timeout",
            "/api/tickets",
            0.2,
        )

    async def test_without_settings_there_is_no_such_path(self, start: Any, http: ClientSession) -> None:
        """A gateway that gives no tickets does not know the path."""
        server = await start("routes: [{path: /who, handlers: [who]}]")
        async with http.post(server.http_url("/api/tickets"), headers=BEARER) as response:
            assert response.status == 404

    async def test_a_body_without_end_is_not_read_for_strangers(self, server: Served) -> None:
        """Who proves nothing is answered before the body has come."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /api/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n{")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" in head.lower()
            writer.close()
            await writer.wait_closed()


class TestJwt:
    """Tickets beside JWTs that are signed with the same secret."""

    async def test_neither_is_the_other(self, start: Any, ask: Any, http: ClientSession) -> None:
        """A ticket is no JWT of an issuer, and a JWT no ticket, though one secret signs both."""
        issuer = {"issuer": "me", "audience": ["gw"], "algorithms": ["HS256"], "keys": [{"secret": SECRET}]}
        ways = {
            "jwt": {"issuers": [issuer]},
            "ticket": {"secret": SECRET, "authenticate": ["jwt"], "credentials_from": ["header", "query:t"]},
        }
        server = await start(
            f"authentication: {json.dumps(ways)}\n"
            "routes:\n"
            "  - {path: /who, allow_missing_origin: true, authenticate: [jwt, ticket], handlers: [who]}\n"
        )
        claims = {
            "iss": "me",
            "aud": "gw",
            "sub": "ann",
            "iat": time.time(),
            "exp": time.time() + 60,
            "jti": "j",
        }
        token = jwt.encode(claims, SECRET, "HS256")
        async with http.post(server.http_url(f"/api/tickets?t={token}")) as response:
            assert response.status == 201
        ticket = (await ask(server, 201, Authorization=f"Bearer {token}"))["ticket"]
        for path, headers in (
            ("/who", {"Authorization": f"Bearer {ticket}"}),
            (f"/who?ticket={token}", {}),
        ):
            with pytest.raises(InvalidStatus) as caught:
                await server.connect(path, additional_headers=headers)
            assert caught.value.response.status_code == 401
        async with server.connect(f"/who?ticket={ticket}") as client:
            assert json.loads(await client.recv())[0] == "ann"
            (connection,) = server.node.connections()
            assert (connection.identity.token_id, connection.identity.proved_by) == ("j", "ticket")
            assert connection.identity.expires_at is not None
        for secret in (ticket, token):
            assert secret not in server.stream.getvalue()


class TestCookies:
    """Tickets for whoever has a cookie."""

    async def test_only_for_listed_origins(self, start: Any, ask: Any) -> None:
        """A cookie buys a ticket for pages of the listed origins alone, and for nobody without an origin."""
        server = await start(
            CONFIGURATION.replace(
                "token, late]",
                "token], credentials_from: ['cookie:sid'], allowed_origins: ['https://app.example.com']",
            )
        )
        cookie = {"Cookie": f"sid={TOKEN}"}
        await ask(server, 201, **cookie, Origin="https://app.example.com")
        for origin in ({}, {"Origin": "https://evil.example"}, {"Origin": f"http://localhost:{server.port}"}):
            assert (await ask(server, 403, **cookie, **origin))["error"] == "origin_not_allowed"
