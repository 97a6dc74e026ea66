"""Tests of the dashboard over plain HTTP: logging in and out, sessions, and what no other page may do."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served, TestClock

TOKEN = "dashboard-" + "token-of-ops"
LESSER = "dashboard-" + "token-that-publishes"
READER = "dashboard-" + "token-that-reads"
CONFIGURATION = """
listen: {drain_seconds: 0, trusted_proxies: [127.0.0.1/32]}
admin: {port: 0}
api:
  tokens:
    - {name: ops, token: "${OPS}"}
    - {name: pusher, token: "${LESSER}", scopes: [publish]}
    - {name: reader, token: "${READER}", scopes: [read]}
routes:
  - {path: /room, allow_missing_origin: true, groups: [news], handlers: [echo]}
"""
ENVIRONMENT = {"OPS": TOKEN, "LESSER": LESSER, "READER": READER}
OWN = {"x-gateway-admin": "1"}


class Browser:
    """What a browser does at the dashboard, by hand.

    Args:
        client: An HTTP client that follows no redirect and keeps no cookie.
        home: The URL of the dashboard.
    """

    def __init__(self, client: httpx.AsyncClient, home: str) -> None:
        self.client = client
        self.home = home
        self.origin = home.removesuffix("/admin")

    async def get(self, path: str = "", **fields: str) -> httpx.Response:
        """Ask for a page below the dashboard's."""
        return await self.client.get(self.home + path, headers=fields)

    async def post(self, path: str, data: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a form, with the origin of the dashboard's own page unless another is given."""
        headers = {"origin": self.origin, **{name.replace("_", "-"): each for name, each in fields.items()}}
        if headers["origin"] == "none":
            del headers["origin"]
        return await self.client.post(self.home + path, data=data or {}, headers=headers)

    async def log_in(self, token: str = TOKEN, **fields: str) -> httpx.Response:
        """Send the form of the login."""
        return await self.post("/login", {"token": token}, **fields)

    async def session(self, token: str = TOKEN) -> str:
        """Log in; give the value of the Cookie field from then on."""
        answer = await self.log_in(token)
        assert answer.status_code == 303, answer.text
        return answer.headers["set-cookie"].partition(";")[0]

    async def api(self, method: str, path: str, json: Any = None, **fields: str) -> httpx.Response:
        """Call the API."""
        headers = {name.replace("_", "-"): each for name, each in fields.items()}
        return await self.client.request(method, f"{self.origin}/api/{path}", headers=headers, json=json)


@pytest.fixture
async def server(gateway_clock: TestClock, serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with a listener for operators, and tokens with all scopes and with few."""
    return await serve_gateway(CONFIGURATION, environ=ENVIRONMENT)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """A client without redirects, cookies and proxies of the environment."""
    async with httpx.AsyncClient(trust_env=False, cookies=_none()) as client:
        yield client


def _none() -> httpx.Cookies:
    class Nowhere(httpx.Cookies):
        def extract_cookies(self, response: httpx.Response) -> None:
            """Keep nothing: a test says itself which cookies it sends."""

    return Nowhere()


@pytest.fixture
def browser(server: Served, http: httpx.AsyncClient) -> Browser:
    """A browser at the dashboard."""
    http._cookies = _none()
    return Browser(http, server.admin_url("/admin"))


def fault(page: httpx.Response) -> str:
    """Give what the page to log in at says was wrong."""
    found = re.search(r'id="fault" role="alert">(.*?)</p>', page.text)
    assert found, page.text
    return unescape(found[1])


class TestPages:
    """What is served to whom, and with which fields."""

    async def test_fields_of_every_page(self, browser: Browser) -> None:
        """A strict policy and no caching stand on each page, whoever asks and whatever comes of it."""
        cookie = await browser.session()
        answers = [
            await browser.get(),
            await browser.get(cookie=cookie),
            await browser.log_in("wrong"),
            await browser.log_in("wrong", origin="https://evil.example"),
            await browser.post("/logout"),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 401, 403, 303]
        for answer in answers:
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
            assert "frame-ancestors 'none'" in policy
            assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert "access-control-allow-origin" not in answer.headers

    async def test_dashboard_is_for_those_who_are_logged_in(self, browser: Browser) -> None:
        """Without a session there is the form; with one the dashboard, with or without a slash."""
        for path in ("", "/"):
            page = await browser.get(path)
            assert 'action="/admin/login"' in page.text
            assert "main.js" not in page.text
        assert fault(page) == ""
        page = await browser.get(cookie=await browser.session())
        assert "/admin/assets/main.js" in page.text
        assert 'name="token"' not in page.text

    async def test_assets(self, browser: Browser) -> None:
        """Files of the page are served with their types and tags; templates and other files are not."""
        script = await browser.get("/assets/main.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["x-content-type-options"] == "nosniff"
        again = await browser.get("/assets/main.js", **{"if-none-match": script.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for name in (
            "login.html",
            "dashboard.html",
            "../dashboard.py",
            "%2e%2e%2fdashboard.py",
            "nothing.js",
        ):
            assert (await browser.get(f"/assets/{name}")).status_code in {400, 404}, name

    async def test_nothing_of_it_where_clients_connect(self, server: Served, http: httpx.AsyncClient) -> None:
        """The listener of clients has no dashboard."""
        for path in ("/admin", "/admin/assets/main.js", "/admin/live"):
            assert (await http.get(server.http_url(path))).status_code == 404

    async def test_without_a_token_nobody_can_log_in(
        self, serve_gateway: Callable[..., Awaitable[Served]], http: httpx.AsyncClient
    ) -> None:
        """Where no token is set the page says so, and takes none."""
        served = await serve_gateway(CONFIGURATION, environ=dict.fromkeys(ENVIRONMENT, ""))
        browser = Browser(http, served.admin_url("/admin"))
        page = await browser.get()
        assert page.status_code == 503
        assert "No token is set" in page.text
        assert 'token: "${GATEWAY_API_TOKEN:-}"' in page.text
        assert (await browser.log_in("")).status_code == 404
        assert (await browser.get("/assets/base.css")).status_code == 200


class TestLogin:
    """A token is shown once, and a session stands in its place."""

    async def test_the_cookie(self, browser: Browser, server: Served) -> None:
        """It holds nothing of the token, and no script, no other site and no later day has it."""
        answer = await browser.log_in(f" {TOKEN}\r\n")
        assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
        [cookie] = SimpleCookie(answer.headers["set-cookie"]).values()
        assert cookie.key == "gateway_admin"
        assert (cookie["path"], cookie["samesite"], cookie["max-age"]) == ("/", "Strict", "28800")
        assert cookie["httponly"]
        assert not cookie["secure"]
        assert not cookie["domain"]
        assert TOKEN not in str(answer.headers)
        [line] = [line for line in server.log if line["event"] == "admin_login"]
        assert (line["caller"], line["remote"], line["logger"]) == ("ops", "127.0.0.1", "gateway.admin")
        assert TOKEN not in server.stream.getvalue()

    async def test_secure_behind_a_proxy_with_tls(self, browser: Browser) -> None:
        """Where a trusted proxy says https, the cookie goes over https only, and the origin is its own."""
        answer = await browser.log_in(
            origin=browser.origin.replace("http:", "https:"), x_forwarded_proto="https"
        )
        assert answer.status_code == 303
        assert answer.headers["set-cookie"].endswith("; HttpOnly; SameSite=Strict; Secure")

    async def test_wrong_tokens(self, browser: Browser, server: Served) -> None:
        """A wrong token gets the form again, and nothing of it stands there or in the log."""
        wrong = ["", "wr0ng", TOKEN[:-1], TOKEN + "x", "ops", "tökén", "\x00", "x" * 4000]
        for index, given in enumerate(wrong):
            # From as many addresses, since the second wrong one of an address would have to wait.
            answer = await browser.log_in(given, x_forwarded_for=f"192.0.2.{index}")
            assert answer.status_code == 401, given
            assert fault(answer) == "This token does not open the dashboard."
            assert "set-cookie" not in answer.headers
            assert "wr0ng" not in answer.text
        lines = [line for line in server.log if line["event"] == "admin_login_failed"]
        assert [line["remote"] for line in lines] == [f"192.0.2.{index}" for index in range(len(wrong))]
        assert {line["wrong"] for line in lines} == {1}
        assert "wr0ng" not in server.stream.getvalue()

    async def test_bodies_that_are_no_form(self, browser: Browser) -> None:
        """Bytes that are no form, two tokens, and a body without end are no token."""
        url = f"{browser.home}/login"
        for index, (body, status) in enumerate(
            [(b"\xff=\xfe", 401), (f"token={TOKEN}&token={TOKEN}".encode(), 401), (b"t" * 9000, 413)]
        ):
            fields = {"origin": browser.origin, "x-forwarded-for": f"192.0.2.{index}"}
            answer = await browser.client.post(url, content=body, headers=fields)
            assert answer.status_code == status
            assert "set-cookie" not in answer.headers

    async def test_a_token_that_may_not_read(self, browser: Browser) -> None:
        """A token without the scope `read` opens no dashboard, and the page says why."""
        answer = await browser.log_in(LESSER)
        assert answer.status_code == 403
        assert fault(answer) == "This token lacks the scope “read”."
        assert "set-cookie" not in answer.headers

    async def test_a_wrong_token_makes_the_address_wait(
        self, browser: Browser, gateway_clock: TestClock
    ) -> None:
        """After a wrong token not even the right one is judged for a while, from there; elsewhere it is."""
        assert (await browser.log_in("wrong")).status_code == 401
        answer = await browser.log_in(TOKEN)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert fault(answer) == "Too many wrong tokens from your address. Try again in 1 second."
        assert "set-cookie" not in answer.headers
        assert (await browser.log_in(TOKEN, x_forwarded_for="192.0.2.7")).status_code == 303
        await gateway_clock.turn(1)
        assert (await browser.log_in("wrong again")).status_code == 401
        answer = await browser.log_in(TOKEN)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
        await gateway_clock.turn(2)
        assert (await browser.log_in(TOKEN)).status_code == 303
        assert (await browser.log_in("wrong")).status_code == 401
        assert (await browser.log_in(TOKEN)).headers["retry-after"] == "1"

    async def test_a_network_of_ipv6_is_one_address(self, browser: Browser) -> None:
        """Whoever has one address of an IPv6 network has all of them."""
        assert (await browser.log_in("wrong", x_forwarded_for="2001:db8::1")).status_code == 401
        assert (await browser.log_in("wrong", x_forwarded_for="2001:db8::2")).status_code == 429
        assert (await browser.log_in("wrong", x_forwarded_for="2001:db8:0:1::2")).status_code == 401

    async def test_many_at_once_are_one(self, server: Served, browser: Browser) -> None:
        """Of wrong tokens that come at one time, all but the first are not judged."""
        answers = await asyncio.gather(*(browser.log_in(f"wrong-{index}") for index in range(8)))
        assert sorted(answer.status_code for answer in answers) == [401] + [429] * 7
        assert server.node.metrics.limits == {"login_attempts": 7}


class TestSessions:
    """What a session opens, and when it ends."""

    async def test_api_takes_it_from_the_own_page_only(self, browser: Browser, server: Served) -> None:
        """The API takes a session with the page's own field, never from another page or without the field."""
        cookie = await browser.session()
        answer = await browser.api("GET", "session", cookie=cookie, **OWN)
        assert answer.json()["name"] == "ops"
        assert answer.json()["ends_at"] == pytest.approx(server.node.now() + 28800, abs=60)
        body = {"group": "news", "data": "hi"}
        assert (await browser.api("POST", "publish", body, cookie=cookie, **OWN)).status_code == 200
        assert (await browser.api("POST", "publish", body, cookie=cookie)).status_code == 401
        for origin in ("https://evil.example", "null", server.origin):
            answer = await browser.api("POST", "publish", body, cookie=cookie, origin=origin, **OWN)
            assert answer.status_code == 403, origin

    async def test_scopes_are_those_of_the_token(self, browser: Browser) -> None:
        """Who has logged in with a token that reads may read and nothing else."""
        cookie = await browser.session(READER)
        assert (await browser.api("GET", "connections", cookie=cookie, **OWN)).status_code == 200
        for call in ("publish", "disconnect", "revoke"):
            answer = await browser.api("POST", call, {"user": "ann", "data": ""}, cookie=cookie, **OWN)
            assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")

    async def test_forged_ones_open_nothing(self, browser: Browser) -> None:
        """A session that is cut, changed, doubled or another's own work is none."""
        cookie = await browser.session()
        name, _, value = cookie.partition("=")
        swapped = ("B" if value[0] == "A" else "A") + value[1:]
        for forged in (
            f"{name}=",
            f"{name}={value[:-1]}",
            f"{name}={swapped}",
            f"{cookie}; {cookie}",
            f"{name}=x",
        ):
            assert "main.js" not in (await browser.get(cookie=forged)).text, forged
            assert (await browser.api("GET", "session", cookie=forged, **OWN)).status_code == 401

    async def test_it_ends(
        self,
        serve_gateway: Callable[..., Awaitable[Served]],
        http: httpx.AsyncClient,
        gateway_clock: TestClock,
    ) -> None:
        """A session ends after `admin.session_seconds`, whatever a browser keeps."""
        short = CONFIGURATION.replace("admin: {port: 0}", "admin: {port: 0, session_seconds: 60}")
        served = await serve_gateway(short, environ=ENVIRONMENT)
        browser = Browser(http, served.admin_url("/admin"))
        answer = await browser.log_in()
        assert "Max-Age=60;" in answer.headers["set-cookie"]
        cookie = answer.headers["set-cookie"].partition(";")[0]
        assert "main.js" in (await browser.get(cookie=cookie)).text
        await gateway_clock.turn(61)
        assert "main.js" not in (await browser.get(cookie=cookie)).text


class TestOtherPages:
    """Forms of other sites."""

    async def test_refused(self, browser: Browser) -> None:
        """No other page, nor who does not say from where, logs anybody in or out."""
        for origin in ("https://evil.example", "null", "none", "http://localhost"):
            for path in ("/login", "/logout"):
                answer = await browser.post(path, {"token": TOKEN}, origin=origin)
                assert answer.status_code == 403, (origin, path)
                assert "set-cookie" not in answer.headers

    async def test_logout(self, browser: Browser, server: Served) -> None:
        """Logging out takes the cookie away and leads to the form; so does doing it twice."""
        cookie = await browser.session()
        for fields in ({"cookie": cookie}, {}):
            answer = await browser.post("/logout", **fields)
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
            assert answer.headers["set-cookie"].startswith("gateway_admin=; Path=/; Max-Age=0;")
        assert [line["caller"] for line in server.log if line["event"] == "admin_logout"] == ["ops"]

    async def test_get_changes_nothing(self, browser: Browser) -> None:
        """A link to the forms' addresses leads to the page, and logs nobody out."""
        cookie = await browser.session()
        for path in ("/login", "/logout"):
            answer = await browser.get(path, cookie=cookie)
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
            assert "set-cookie" not in answer.headers
