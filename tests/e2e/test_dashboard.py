"""The dashboard in a browser: logging in and out, what it shows, and what operators do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import expect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import Connection, Handler
from gateway.testing import TestClock, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from playwright.async_api import Page

    from gateway.testing import Served

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

TOKEN = "dashboard-" + "token-of-ops"
READER = "dashboard-" + "token-that-reads"
ANN = "user-" + "token-of-ann"
LONG = "l" * 80
CONFIGURATION = """
listen: {drain_seconds: 0}
admin: {port: 0}
api:
  tokens:
    - {name: ops, token: "${OPS}"}
    - {name: reader, token: "${READER}", scopes: [read]}
authentication:
  token: {keys: [{name: a, user: ann, token: "${ANN}"}]}
groups:
  - {pattern: "room:*", history: {size: 10, seconds: 60}}
routes:
  - {path: /news, allow_missing_origin: true, groups: [news], handlers: [moody]}
  - {path: "/room/{room}", name: room, allow_missing_origin: true, groups: ["room:{room}"],
     authenticate: [token]}
"""
ENVIRONMENT = {"OPS": TOKEN, "READER": READER, "ANN": ANN}
expect.set_options(timeout=15_000)  # for a machine under load; no test expects to wait for it
VIEWS = ("overview", "connections", "groups", "plugins", "nodes", "publish")
FILLED = {
    "overview": ("routes-table", "closes-table", "refusals-table"),
    "groups": ("patterns-table",),
    "plugins": ("errors-table", "installed-table"),
}
WIDTHS = (1440, 1024, 768, 390, 320)
OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"
GROUNDS = """
  () => [document.body, ...document.querySelectorAll("dialog[open], #connections-table")]
    .map((element) => getComputedStyle(element).backgroundColor)
"""
WATCH = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (e) => violations.push(e.violatedDirective));
"""
NAMED = {
    "button",
    "textbox",
    "searchbox",
    "combobox",
    "radio",
    "link",
    "image",
    "table",
    "dialog",
    "navigation",
}


class Moody(Handler):
    """A handler that fails when it is told to."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Fail, or answer."""
        if message == "fail":
            raise ValueError("told to")
        connection.send(message)


def room(served: Served, name: str) -> Any:
    """Connect to a room as ann."""
    return served.connect(f"/room/{name}", additional_headers={"Authorization": f"Bearer {ANN}"})


@pytest_asyncio.fixture(loop_scope="session")
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """A gateway with a dashboard."""
    async with serve(tmp_path, CONFIGURATION, handlers={"moody": Moody}, environ=ENVIRONMENT) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="session")
async def open_desk(new_tab: Callable[[], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Give a function that opens the dashboard of a gateway, logs in, and waits for the first figures."""

    async def open_desk(served: Served, view: str = "overview", token: str = TOKEN) -> Any:
        tab = await new_tab()
        await tab.page.add_init_script(WATCH)
        await tab.page.goto(served.admin_url("/admin"))
        await log_in(tab.page, token)
        await expect(tab.at("link-text")).to_have_text("Live", timeout=15_000)
        await tab.reach("tile-connections", 0)
        if view != "overview":
            await go(tab.page, view)
        return tab

    return open_desk


async def log_in(page: Page, token: str) -> None:
    """Fill the form of the login in, and send it."""
    await page.get_by_label("Token").fill(token)
    await page.get_by_role("button", name="Log in").click()


async def go(page: Page, view: str) -> None:
    """Go to another view."""
    await page.locator(f'.views a[href="#{view}"]').click()
    await expect(page.locator(f"#{view}-title")).to_be_focused()


async def test_login_and_logout(tmp_path: Path, new_tab: Callable[[], Awaitable[Any]]) -> None:
    """A wrong token makes one wait; the right one opens, and no script finds it; logging out shuts."""
    clock = TestClock()
    async with serve(
        tmp_path, CONFIGURATION, handlers={"moody": Moody}, environ=ENVIRONMENT, clock=clock
    ) as served:
        await log_in_and_out(served, clock, new_tab)


async def log_in_and_out(served: Served, clock: TestClock, new_tab: Callable[[], Awaitable[Any]]) -> None:
    """Do so, in two tabs."""
    tab = await new_tab()
    page: Page = tab.page
    await page.goto(served.admin_url("/admin"))
    token = page.get_by_label("Token")
    await expect(token).to_be_focused()
    await log_in(page, "wrong")
    await expect(page.get_by_role("alert")).to_have_text("This token does not open the dashboard.")
    await expect(token).to_have_attribute("aria-invalid", "true")
    await expect(token).to_have_value("")
    await log_in(page, TOKEN)
    await expect(page.get_by_role("alert")).to_contain_text(
        "Too many wrong tokens from your address. Try again in 1 second."
    )
    await clock.turn(1)
    await log_in(page, TOKEN)
    await expect(tab.at("who")).to_have_text("ops")
    [cookie] = await page.context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"]) == ("gateway_admin", True, "Strict")
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert TOKEN not in await page.content()
    other = await new_tab()
    await other.page.goto(served.admin_url("/admin"))
    await expect(other.at("link-text")).to_have_text("Live")
    await page.get_by_role("button", name="Log out").click()
    await expect(token).to_be_visible()
    await expect(other.page.get_by_label("Token")).to_be_visible()
    assert await page.context.cookies() == []
    assert [text for text in tab.complaints if "401" not in text and "429" not in text] == []


async def test_figures_move(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """Figures are pushed as things happen: connections, messages, reasons of closes and refusals, errors."""
    tab = await open_desk(served)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    await expect(tab.at("health")).not_to_have_attribute("data-health", "unknown")
    assert await tab.value("tile-connections") == 0
    async with served.connect("/news") as client:
        await tab.reach("tile-connections", 1)
        while await tab.value("tile-messages-in") == 0:
            await client.send("hello")
            assert await client.recv() == "hello"
        await client.send("fail")
        with pytest.raises(ConnectionClosed):
            await client.recv()
    refused = await served.request(
        "GET", "/room/a", headers={"upgrade": "websocket", "connection": "upgrade"}
    )
    assert refused.status_code in {400, 426}
    await expect(tab.at("closes-table").get_by_role("row")).to_contain_text(
        ["Close code", "1011 internal error"]
    )
    await expect(tab.at("closes-table").get_by_role("cell")).to_have_text(
        ["1011 internal error", "gateway", "1", "1"]
    )
    await expect(tab.at("refusals-table").get_by_role("cell")).to_have_count(3)
    await expect(tab.at("routes-table").get_by_role("cell")).to_have_text(["/news", "0", "1", "1"])
    await expect(tab.at("limits-table")).to_contain_text("No limit was reached.")
    await expect(tab.at("health")).to_contain_text(
        "Handler moody of the plugin test-handlers: 1 error in the last minute."
    )
    assert await tab.value("tile-errors") == 1
    with served.broker_outage():
        await expect(tab.at("health")).to_contain_text(f"Node {served.node.name} on ")
        await expect(tab.at("health")).to_have_attribute("data-health", "bad")
    points = "() => document.querySelector('#tiles polyline').getAttribute('points').split(' ').length >= 3"
    await tab.page.wait_for_function(points)
    assert asked == []
    await go(tab.page, "plugins")
    errors = tab.at("errors-table").get_by_role("cell")
    await expect(errors).to_have_text(["moody", "test-handlers", "error", "1", "1"])
    await expect(tab.at("installed-table")).to_contain_text("test-handlers")
    await go(tab.page, "nodes")
    await expect(tab.at("nodes").get_by_role("article")).to_contain_text(served.node.name)
    await expect(tab.at("nodes").get_by_text("Ready")).to_be_visible()
    assert {urlsplit(url).path for url in asked if "/assets/" not in url} == {"/api/plugins"}
    assert {urlsplit(url).port for url in asked} == {served.admin_port}
    assert tab.complaints == []
    assert await tab.page.evaluate("window.violations") == []


async def test_connections_are_found_and_disconnected(
    served: Served, open_desk: Callable[..., Awaitable[Any]]
) -> None:
    """Search, route and group find connections; one, or all of a user, are told to go, and go."""
    async with served.connect("/news") as nobody, room(served, "a") as first, room(served, "b") as second:
        tab = await open_desk(served, "connections")
        users = tab.at("connections-table").locator("td.lead button")
        await expect(users).to_have_count(3)
        await expect(tab.at("connections-count")).to_have_text("3 connections")
        await tab.at("connections-search").fill("/room/b")
        await expect(users).to_have_count(1)
        await tab.at("connections-search").fill("no such thing")
        await expect(tab.at("connections-table")).to_have_text(
            "Nothing fits this search.", use_inner_text=True
        )
        await tab.at("connections-search").fill("")
        await tab.at("connections-route").select_option("room")
        await expect(users).to_have_count(2)
        await tab.at("connections-group").fill("room:a")
        await expect(users).to_have_count(1)
        await users.click()
        await expect(tab.at("details-facts")).to_contain_text("room:a")
        await expect(tab.at("details-title")).to_be_focused()
        await tab.page.keyboard.press("Escape")
        await expect(users).to_be_focused()
        await tab.page.keyboard.press("Enter")
        await tab.click("details-disconnect")
        await tab.at("disconnect-reason").fill("for the test")
        await tab.click("disconnect-go")
        with pytest.raises(ConnectionClosed) as closed:
            await first.recv()
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4410, "for the test")
        await expect(tab.at("toasts")).to_have_text("The connection is told to go.")
        await expect(users).to_have_count(0)
        await tab.at("connections-group").fill("")
        await tab.at("connections-route").select_option("")
        await expect(users).to_have_count(2)
        async with room(served, "c") as third:
            await tab.at("connections-search").fill("ann")
            await expect(users).to_have_count(2)
            await tab.page.get_by_role("button", name="Disconnect ann").last.click()
            await tab.page.get_by_text("All connections of ann").click()
            await tab.at("disconnect-code").select_option("1012")
            await tab.click("disconnect-go")
            for client in (second, third):
                with pytest.raises(ConnectionClosed) as closed:
                    await client.recv()
                assert closed.value.rcvd.code == 1012
        await expect(tab.at("toasts")).to_contain_text("2 connections told to go.")
        await nobody.send("still here")
        assert await nobody.recv() == "still here"
    assert tab.complaints == []


async def test_publishing(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """From a group's row, or by name, a message is published; what is wrong is told."""
    async with served.connect("/news") as reader, room(served, "a") as ann:
        tab = await open_desk(served, "groups")
        result = tab.at("publish-result")
        names = tab.at("groups-table").locator("td.lead")
        await expect(names).to_have_text(["news", "room:a"])
        await tab.at("groups-search").fill("room")
        await expect(names).to_have_text(["room:a"])
        await expect(tab.at("groups-table").get_by_role("row").last).to_contain_text("kept")
        await tab.at("groups-search").fill("new")
        await tab.page.get_by_role("link", name="Publish news").click()
        await expect(tab.at("publish-target")).to_have_value("news")
        await tab.at("publish-data").fill("héllo\n世界")
        await tab.click("publish-send")
        assert await reader.recv() == "héllo\n世界"
        await expect(result).to_have_text("Published: it goes to 1 connection.")
        await tab.page.get_by_text("A user").click()
        await tab.at("publish-target").fill("")
        await tab.click("publish-send")
        await expect(result).to_have_text("Name the user first.")
        await expect(tab.at("publish-target")).to_be_focused()
        await tab.page.keyboard.type("ann")
        await tab.page.keyboard.press("Enter")
        assert await ann.recv() == "héllo\n世界"
        await tab.page.get_by_text("Everyone").click()
        await expect(tab.at("publish-target")).to_be_hidden()
        await tab.click("publish-send")
        assert await ann.recv() == await reader.recv() == "héllo\n世界"
        await tab.page.get_by_text("A group").click()
        await tab.at("publish-target").fill("$everyone")
        await tab.click("publish-send")
        await expect(result).to_have_text(
            "Not published: group: groups whose names begin with $ are the gateway's own."
        )
    assert [text for text in tab.complaints if "400" not in text] == []


async def test_a_token_that_reads_can_only_look(
    served: Served, open_desk: Callable[..., Awaitable[Any]]
) -> None:
    """Without the scopes, what would act is off and says why."""
    async with served.connect("/news"):
        tab = await open_desk(served, "connections", READER)
        await expect(tab.at("connections-table").get_by_role("button", name="Disconnect")).to_be_disabled()
        await go(tab.page, "publish")
        await expect(tab.at("publish-send")).to_be_disabled()
        await expect(tab.at("publish-result")).to_contain_text("may not publish")


async def test_the_page_follows_its_session_and_its_gateway(
    tmp_path: Path, open_desk: Callable[..., Awaitable[Any]]
) -> None:
    """The end of a session leads to the form; a gateway that ends is told, and so is its being back."""
    clock = TestClock()
    short = CONFIGURATION.replace("port: 0", "port: 0, session_seconds: 60")
    async with serve(tmp_path, short, handlers={"moody": Moody}, environ=ENVIRONMENT, clock=clock) as served:
        tab = await open_desk(served)
        await clock.turn(61)
        await expect(tab.page.get_by_label("Token")).to_be_visible()
        await log_in(tab.page, TOKEN)
        await expect(tab.at("link-text")).to_have_text("Live")
    await expect(tab.at("link-state")).to_have_attribute("data-state", "waiting")
    await expect(tab.at("link-text")).to_contain_text("Lost, next try in")


async def test_nothing_overflows(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """At no width does a view scroll sideways, whatever long names there are; and the dark is dark."""
    tab = await open_desk(served)
    async with room(served, LONG), served.connect("/news") as client:
        await client.send("fail")
        with pytest.raises(InvalidStatus):
            await served.connect(f"/room/{LONG}")
        for view in VIEWS:
            await tab.page.set_viewport_size({"width": 1280, "height": 800})
            if view != "overview":
                await go(tab.page, view)
            if view in {"connections", "groups"}:
                await expect(tab.at(f"{view}-table")).to_contain_text(LONG)
            for table in FILLED.get(view, ()):
                await expect(tab.at(table).locator("tbody tr")).not_to_have_count(0)
            for width in WIDTHS:
                await tab.page.set_viewport_size({"width": width, "height": 740})
                assert await tab.page.evaluate(OVERFLOW) <= 0, f"{view}, {width} wide"
        await go(tab.page, "connections")
        await tab.page.get_by_role("button", name="ann").first.click()
        assert await tab.page.evaluate("() => document.querySelector('dialog[open]').scrollWidth") <= 320
    for scheme, dark in (("light", False), ("dark", True)):
        await tab.page.emulate_media(color_scheme=scheme)
        grounds = await tab.page.evaluate(GROUNDS)
        assert [sum(map(int, ground[4:-1].split(","))) < 200 for ground in grounds] == [dark] * 3
    assert await tab.page.evaluate("window.violations") == []


async def test_names_and_keys(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """Each control has a name for those who do not see it, and the tab key reaches all that can be used."""
    tab = await open_desk(served)
    session = await tab.page.context.new_cdp_session(tab.page)
    async with room(served, "a"):
        for view in VIEWS:
            if view != "overview":
                await go(tab.page, view)
            if view in {"connections", "groups"}:
                await expect(tab.at(f"{view}-table").get_by_role("row")).to_have_count(2)
            tree = await session.send("Accessibility.getFullAXTree")
            nodes = [
                (node["role"]["value"], node.get("name", {}).get("value", "").strip())
                for node in tree["nodes"]
                if not node["ignored"] and node["role"]["value"] in NAMED
            ]
            assert len(nodes) > 8
            assert [role for role, name in nodes if not name] == [], view
            assert await tab.page.get_by_role("heading", level=1).count() == 1
        await go(tab.page, "connections")
        wanted = {"connections-search", "connections-route", "connections-group"}
        reached: list[str] = []
        for _ in range(20):
            await tab.page.keyboard.press("Tab")
            reached.append(
                await tab.page.evaluate(
                    "() => document.activeElement.id || document.activeElement.textContent"
                )
            )
            style = "() => getComputedStyle(document.activeElement).outlineStyle"
            assert reached[-1].startswith("\n") or await tab.page.evaluate(style) != "none", reached
            if wanted <= set(reached) and any("Disconnect" in name for name in reached):
                break
        assert wanted <= set(reached)
        assert any("Disconnect" in name for name in reached)


async def test_fleet_reckons_right(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """Nodes are added up, differences taken node by node, and shares of a histogram found."""
    tab = await open_desk(served)
    found = await tab.page.evaluate("""
      import("/admin/assets/fleet.js").then(({ Fleet, reckon }) => {
        const fleet = new Fleet();
        const about = { host: "h", worker: null };
        const take = (node, at, value) =>
          fleet.take({ ...about, node, at, figures: { c: [[["x"], value]] } });
        const told = () => [fleet.moves, fleet.sum("c"), fleet.rate("c"), fleet.lately("c")];
        take("a", 100, 10);
        take("b", 500, 1000);
        const still = told();
        take("a", 102, 14);
        take("b", 501, 1001);
        const moving = [...told(), fleet.rate("c", () => true, "a")];
        take("a", 200, 20);
        const later = fleet.lately("c");
        fleet.drop("a");
        const left = [fleet.nodes.length, fleet.sum("c"), fleet.prune()];
        const counts = [[98, 1, 1, 5], [1, 0, 9, 5], [0, 0, 0, 0]];
        const [even, past, none] = counts.map((each) => reckon(each, [0.1, 1]));
        return { still, moving, later, left, even, past, none };
      })
    """)
    assert found["still"] == [False, 1010, 0, 0]
    assert found["moving"] == [True, 1015, 3, 5, 2]
    assert found["later"] == 1  # what is older than a minute does not count
    assert found["left"] == [1, 1001, 0]
    assert found["even"] == {"count": 100, "mean": 0.05, "most": 1}
    assert found["past"]["most"] == float("inf")
    assert found["none"] == {"count": 0, "mean": None, "most": None}


async def test_complaints_name_the_culprit(served: Served, open_desk: Callable[..., Awaitable[Any]]) -> None:
    """What an operator should look at is said in words; where there is nothing, all is well."""
    tab = await open_desk(served)
    well, told = await tab.page.evaluate("""
      Promise.all([import("/admin/assets/fleet.js"), import("/admin/assets/health.js")]).then(
        ([{ Fleet }, { complaints }]) => {
          const fleet = new Fleet();
          const broker = { type: "nats", down: false };
          const about = { node: "n", host: "h", worker: 0, connections: 90, draining: false, broker };
          const known = {
            gateway_max_connections: [[[], 100]],
            gateway_certificate_end_seconds: [[["f.pem"], 2e6]],
          };
          fleet.take({ ...about, connections: 89, at: 1, figures: known });
          const well = [...complaints(fleet, 1)];
          fleet.take({ ...about, draining: true, broker: { ...broker, down: true }, at: 2, figures: {
            ...known,
            gateway_worker_loop_lag_seconds: [[[], 0.4]],
            gateway_broker_gaps_total: [[[], 2]],
            gateway_plugin_stopped: [[["chat"], 1]],
            gateway_loop_blocks_total: [[["chat", "chat.py", "12"], 1]],
            gateway_handler_errors_total: [[["chat", "talk", "timeout"], 3]],
          } });
          return [well, [...complaints(fleet, 2e6 - 3600)].map(({ text }) => text)];
        })
    """)
    assert well == []
    assert told == [
        "Node n on h has no broker that carries.",
        "Node n on h is draining.",
        "90 % of the connections are taken.",
        "An event loop was late by 400 ms: something blocks it.",
        "Publications of other nodes may have been missed, 2 times in the last minute.",
        "The plugin chat is stopped for a while, since it fails.",
        "The plugin chat (chat.py:12) has blocked an event loop, 1 time in the last minute.",
        "Handler talk of the plugin chat: 3 timeouts in the last minute.",
        "The certificate f.pem ends in 1 h.",
    ]
