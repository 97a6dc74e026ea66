"""Tests of who may call the HTTP API: static tokens, and ways with the claims that they must prove."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import trustme

from gateway import Authenticator, Identity, Refusal, hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiohttp import ClientSession

    from gateway.testing import Served

SECRET = "a secret of thirty-two bytes, or so"
PATHS = ("/api/publish", "/api/disconnect", "/api/revoke")
BODY = {"group": "none", "data": 1}

CONFIGURATION = """
listen: {drain_seconds: 0, opening_timeout_seconds: 0.5}
api:
  tokens: [{name: ops, token: ops-token}]
  authenticate: [odd, jwt]
  required_claims: {roles: ops, tenant: {id: 1}}
authentication:
  jwt: {issuers: [{issuer: i, audience: a, algorithms: [HS256], keys: [{secret: "${SECRET}"}]}]}
routes:
  - {path: /room, allow_missing_origin: true, groups: [none], handlers: [echo]}
"""
OPENS = {"roles": ["dev", "ops"], "tenant": {"id": 1}}


class Odd(Authenticator):
    """A way that looks where it should not, and does as the header `X-Odd` says."""

    def on_start(self, node: Any) -> None:
        """Begin with nothing seen."""
        self.openings: list[Any] = []
        self.hanging = 0
        node.odd = self

    async def authenticate(self, opening: Any) -> Any:
        """Believe a cookie, or be odd."""
        self.openings.append(opening)
        if opening.request.get_all("cookie") or opening.request.cookies:
            return Identity("cookie", OPENS)
        odd = opening.request.headers.get("x-odd")
        if odd == "hangs":
            self.hanging += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.hanging -= 1
        if odd == "raises":
            raise ValueError("hunter2")
        if odd == "gives up":
            raise TimeoutError("hunter2")
        if odd == "is cancelled":
            raise asyncio.CancelledError
        if odd == "ended":
            return Identity("odd", OPENS, expires_at=time.time() - 0.001)
        return {"endless": Identity("odd", OPENS, expires_at=float("inf")), "text": "odd"}.get(odd)


class Plugin:
    """A plugin with that way, and an admission hook."""

    refuses: Any = None

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Name it."""
        return {"odd": Odd}

    @hookimpl
    def gateway_admit(self, opening: Any) -> Any:
        """Answer as told, about the API alone."""
        if isinstance(self.refuses, BaseException):
            raise self.refuses
        return self.refuses if opening.route.startswith("/api/") else None


@pytest.fixture
def plugin() -> Plugin:
    """Give the plugin."""
    return Plugin()


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]], plugin: Plugin) -> Served:
    """A gateway whose API opens for a token, and for JWTs of operators."""
    return await serve_gateway(CONFIGURATION, plugins=[plugin], environ={"SECRET": SECRET})


@pytest.fixture
def call(server: Served, http: ClientSession) -> Callable[..., Awaitable[tuple[int, Any]]]:
    """A function that calls the API, and gives status and JSON after a look at the answer's fields."""

    async def call(
        token: str | None = None,
        *fields: tuple[str, str],
        path: str = PATHS[0],
        body: Any = BODY,
        **options: Any,
    ) -> tuple[int, Any]:
        headers = [*fields, *([("Authorization", f"Bearer {token}")] if token is not None else [])]
        async with http.post(server.http_url(path), json=body, headers=headers, **options) as response:
            answer = await response.json()
            assert not any(name.lower().startswith("access-control") for name in response.headers)
            assert ("WWW-Authenticate" in response.headers) is (response.status == 401)
            if response.status != 200:
                assert set(answer) == {"error", "message"}
        return response.status, answer

    return call


def issue(**claims: Any) -> str:
    """Make a JWT that opens the API, or that differs."""
    now = time.time()
    usual = {"iss": "i", "aud": "a", "sub": "ann", "exp": now + 300, "iat": now}
    return jwt.encode(usual | OPENS | claims, SECRET, "HS256")


def refusals(server: Served) -> list[tuple[Any, ...]]:
    """Give what the log says about refused calls."""
    return [
        (line["status"], line["error"], line["detail"], line["path"], line["remote"])
        for line in server.log
        if line["event"] == "api_refused"
    ]


async def test_a_jwt_with_the_claims(server: Served, call: Callable[..., Any]) -> None:
    """A JWT that proves the claims opens each call, and the log names the way and the user."""
    assert await call(issue()) == (200, {"node": server.node.name, "connections": 0})
    for path, body in zip(PATHS[1:], ({"user": "nobody"}, {"jti": "none"}), strict=True):
        status, _ = await call(issue(), path=path, body=body)
        assert status == 200
    lines = [line for line in server.log if line["event"].startswith("api_")]
    assert [line["caller"] for line in lines] == ["jwt:ann"] * 3


@pytest.mark.parametrize(
    "claims",
    [
        {"roles": ["dev"]},
        {"roles": []},
        {"roles": "ops-not"},
        {"roles": [["ops"]]},
        {"roles": None},
        {"tenant": {"id": 2}},
        {"tenant": {"id": True}},
        {"tenant": {"ids": 1}},
        {"tenant": [1]},
    ],
    ids=str,
)
async def test_a_jwt_without_the_claims(
    server: Served, call: Callable[..., Any], claims: dict[str, Any]
) -> None:
    """A good token of a user who is no operator is 403 for every call."""
    for path in PATHS:
        assert await call(issue(**claims), path=path) == (
            403,
            {"error": "forbidden", "message": "not allowed"},
        )
    assert refusals(server) == [
        (403, "forbidden", "claims do not open the API", path, "127.0.0.1") for path in PATHS
    ]


UNAUTHORIZED = (401, {"error": "unauthorized", "message": "valid credentials are required"})


@pytest.mark.parametrize(
    "token",
    [None, "", "wrong", "ops-toke", "ops-token2", issue(exp=1), issue(aud="b"), issue()[:-3], "a.b.c"],
    ids=["none", "empty", "wrong", "short", "long", "expired", "audience", "cut", "form"],
)
async def test_without_good_credentials(server: Served, call: Callable[..., Any], token: str | None) -> None:
    """No credentials or bad ones are 401, told like those of routes, and the log has no word of them."""
    assert await call(token) == UNAUTHORIZED
    assert len(refusals(server)) == 1
    assert not token or token not in server.stream.getvalue()


async def test_the_static_token_beside(server: Served, call: Callable[..., Any]) -> None:
    """The token of the file opens the API as before, without any way being asked, whatever the Origin."""
    assert (await call("ops-token", ("Origin", "https://else.test")))[0] == 200
    assert server.node.odd.openings == []


async def test_a_cookie_never_opens_it(server: Served, call: Callable[..., Any]) -> None:
    """No way sees the cookies of a call, so that even one that believes them lets nobody in."""
    for fields in (
        [("Cookie", "session=good")],
        [("cookie", "a=b"), ("COOKIE", f"session={issue()}")],
        [("Cookie", f"Authorization=Bearer {issue()}")],
    ):
        assert await call(None, *fields) == UNAUTHORIZED
    assert len(server.node.odd.openings) == 3


async def test_only_the_header_holds_credentials(server: Served, call: Callable[..., Any]) -> None:
    """A token in the query, or where a WebSocket client would put it, opens nothing."""
    token = issue()
    assert await call(None, path=f"{PATHS[0]}?token={token}&access_token={token}") == UNAUTHORIZED
    assert await call(None, ("Sec-WebSocket-Protocol", f"bearer.{token}")) == UNAUTHORIZED
    assert token not in server.stream.getvalue()
    assert [opening.request.query for opening in server.node.odd.openings] == ["", ""]


async def test_what_ways_and_hooks_see(server: Served, call: Callable[..., Any]) -> None:
    """The opening of a call names the path for the route, and who asks."""
    await call(issue(), ("X-Own", "1"))
    (opening,) = server.node.odd.openings
    assert (opening.route, opening.remote, opening.params, opening.subprotocol) == (
        "/api/publish",
        "127.0.0.1",
        {},
        None,
    )
    assert (opening.request.path, opening.request.headers["x-own"]) == ("/api/publish", "1")
    assert opening.credential.source == "header"


async def test_two_authorization_fields(server: Served, call: Callable[..., Any]) -> None:
    """Two Authorization fields are 401, be both of them good."""
    for token in ("ops-token", issue()):
        assert await call(token, ("Authorization", f"Bearer {token}")) == UNAUTHORIZED
    assert [line[2] for line in refusals(server)] == ["two Authorization fields"] * 2


@pytest.mark.parametrize(
    "origins",
    [
        ["https://else.test"],
        ["null"],
        [""],
        ["http://localhost"],
        ["https://localhost:{port}"],
        ["http://localhost:{port}.else.test"],
        ["http://localhost:{port}", "http://localhost:{port}"],
    ],
    ids=str,
)
async def test_a_foreign_origin(server: Served, call: Callable[..., Any], origins: list[str]) -> None:
    """A call from a page of another origin is 403 before anyone judges its credentials."""
    fields = [("Origin", origin.format(port=server.port)) for origin in origins]
    status, answer = await call(issue(), *fields)
    assert (status, answer["error"]) == (403, "origin_not_allowed")
    assert server.node.odd.openings == []


async def test_its_own_origin(server: Served, call: Callable[..., Any]) -> None:
    """A page of the gateway's own origin may call, as may a program, which sends none."""
    assert (await call(issue(), ("Origin", f"http://localhost:{server.port}")))[0] == 200


async def test_admission_has_the_last_word(server: Served, call: Callable[..., Any], plugin: Plugin) -> None:
    """A plugin's refusal refuses the call, with the plugin's answer, before the claims are looked at."""
    plugin.refuses = Refusal(451, "not_here", "no calls from here", (("Retry-After", "7"),))
    for token in (issue(), issue(roles=[])):
        assert await call(token) == (451, {"error": "not_here", "message": "no calls from here"})
    assert [line[2] for line in refusals(server)] == ["plugin test-0"] * 2


@pytest.mark.parametrize(
    ("odd", "status", "error", "kind"),
    [
        ("hangs", 503, "check_timeout", "timeout"),
        ("raises", 500, "internal_error", "error"),
        ("gives up", 500, "internal_error", "error"),
        ("is cancelled", 500, "internal_error", "error"),
        ("text", 500, "internal_error", "error"),
        ("endless", 500, "internal_error", "error"),
        ("ended", 401, "unauthorized", None),
    ],
)
async def test_a_way_that_fails(
    server: Served, call: Callable[..., Any], odd: str, status: int, error: str, kind: str | None
) -> None:
    """A way that hangs, raises or gives nonsense lets nobody in, and the answer has nothing of it.

    It is named and counted, as in an opening handshake.
    """
    async with asyncio.timeout(30):
        found, answer = await call(None, ("X-Odd", odd))
    assert (found, answer["error"]) == (status, error)
    assert "hunter2" not in json.dumps(answer)
    failed = [line for line in server.errors if line["event"].startswith("opening_check_")]
    assert +server.node.metrics.checks_failed == ({("test-0", "odd", kind): 1} if kind else {})
    if kind is not None:
        (line,) = failed
        assert line["event"] == {"error": "opening_check_failed", "timeout": "opening_check_timeout"}[kind]
        assert (line["plugin"], line["check"], line["path"]) == ("test-0", "odd", PATHS[0])
        assert line["where"].rpartition(":")[0] == __file__
    assert server.errors == failed
    assert (await call(issue()))[0] == 200


@pytest.mark.parametrize("wrong", [ValueError("hunter2"), SystemExit(3), True], ids=repr)
async def test_a_hook_that_fails(
    server: Served, call: Callable[..., Any], plugin: Plugin, wrong: object
) -> None:
    """An admission hook that raises or gives nonsense refuses the call, and is named and counted."""
    plugin.refuses = wrong
    status, answer = await call(issue())
    assert (status, answer["error"]) == (500, "internal_error")
    assert "hunter2" not in json.dumps(answer)
    (line,) = server.errors
    assert (line["event"], line["plugin"], line["check"]) == (
        "opening_check_failed",
        "test-0",
        "gateway_admit",
    )
    assert +server.node.metrics.checks_failed == {("test-0", "gateway_admit", "error"): 1}


async def test_a_caller_that_leaves(server: Served, until: Callable[..., Awaitable[None]]) -> None:
    """Who goes while a way is asked harms nobody: that is no failure of the way."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /api/stats HTTP/1.1\r\nHost: x\r\nX-Odd: hangs\r\n\r\n")
    await until(lambda: len(server.node.odd.openings) == 1)
    writer.transport.abort()
    await until(lambda: server.node.odd.hanging == 0)
    assert server.errors == []
    assert +server.node.metrics.checks_failed == {}


async def test_a_body_is_not_read_before(server: Served) -> None:
    """Who may not call is answered before a body comes, and TCP ends then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        f"POST /api/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {issue(roles=[])}\r\n"
        "Content-Length: 1000000\r\n\r\n"
    )
    writer.write(head.encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close\r\n" in answer
    writer.close()


async def test_over_tls_with_a_client_certificate(
    serve_gateway: Callable[..., Awaitable[Served]], http: ClientSession, tmp_path: Path
) -> None:
    """The certificate of a client opens the API; a page elsewhere, whose browser sends it too, does not."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def client(name: str, organization: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        issued = authority.issue_cert("client.test", common_name=name, organization_name=organization)
        issued.configure_cert(context)
        return context

    tls = {
        "certificate": str(tmp_path / "server.pem"),
        "key": str(tmp_path / "server.pem"),
        "client_ca": str(tmp_path / "ca.pem"),
        "client_certificates": "optional",
    }
    api = {"authenticate": ["mtls"], "required_claims": {"subject": {"organizationName": "ops"}}}
    server = await serve_gateway(json.dumps({"listen": {"tls": tls, "drain_seconds": 0}, "api": api}))
    anonymous = ssl.create_default_context()
    authority.configure_trust(anonymous)
    own = f"https://localhost:{server.port}"
    for context, origin, status in (
        (client("ann", "ops"), None, 200),
        (client("ann", "ops"), own, 200),
        (client("ann", "ops"), "https://else.test", 403),
        (client("ann", "ops"), own.replace("https", "http"), 403),
        (client("bob", "dev"), None, 403),
        (anonymous, None, 401),
    ):
        headers = {} if origin is None else {"Origin": origin}
        url = server.http_url("/api/publish")
        async with http.post(url, json=BODY, ssl=context, headers=headers) as response:
            assert response.status == status
    assert [line["caller"] for line in server.log if line["event"] == "api_published"] == ["mtls:ann"] * 2
