"""Tests of the gate: in which places a route looks for credentials, and what two of them get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Identity, Opening

if TYPE_CHECKING:
    from collections.abc import Callable

ADA = "ada-secret-token"
BOB = "bob-secret-token"

ROUTES = f"""
authentication:
  token:
    keys:
      - {{name: first, user: ada, token: {ADA}}}
      - {{name: second, user: bob, token: {BOB}}}
routes:
  - &usual
    path: /usual
    handlers: [echo]
    allow_missing_origin: true
    authenticate: [token]
    subprotocols: [chat.v1]
  - {{<<: *usual, path: /header, credentials_from: [header]}}
  - {{<<: *usual, path: /subprotocol, credentials_from: [subprotocol]}}
  - {{<<: *usual, path: /query, credentials_from: [header, "query:access_token"]}}
  - {{<<: *usual, path: /strict, require_subprotocol: true}}
  - path: /cookie
    handlers: [echo]
    allowed_origins: ["https://app.example.com"]
    authenticate: [token]
    credentials_from: ["cookie:token"]
  - {{<<: *usual, path: /nowhere, credentials_from: []}}
"""

LINES = {
    "header": f"Authorization: Bearer {ADA}",
    "subprotocol": f"Sec-WebSocket-Protocol: chat.v1, bearer.{ADA}",
    "cookie": f"Cookie: token={ADA}",
}


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve routes that look in different places."""
    return await start(ROUTES)


async def test_places(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """A credential is taken where the route looks, and only the real subprotocol is answered."""
    offer = "chat.v1, other"
    for target, line, offered, chosen in (
        ("/usual", LINES["header"], offer, "chat.v1"),
        ("/usual", LINES["header"], None, None),
        ("/usual", LINES["subprotocol"], None, "chat.v1"),
        ("/usual", f"Sec-WebSocket-Protocol: bearer.{ADA}, chat.v1", None, "chat.v1"),
        ("/usual", f"Sec-WebSocket-Protocol: bearer.{ADA}", None, None),
        ("/usual", f"Sec-WebSocket-Protocol: bearer.{ADA}", offer, "chat.v1"),
        ("/header", LINES["header"], offer, "chat.v1"),
        ("/subprotocol", LINES["subprotocol"], None, "chat.v1"),
        ("/strict", LINES["subprotocol"], None, "chat.v1"),
        ("/query", LINES["header"], None, None),
        (f"/query?access_token={ADA}", "X: y", None, None),
        (f"/query?x=y&access_token={ADA}&access_token=", "X: y", offer, "chat.v1"),
    ):
        with subtests.test(target=target, line=line, offered=offered):
            wire = await ask(server, opening(target, line, sec_websocket_protocol=offered))
            await accepted(wire, subprotocol=chosen)
            await wire.close()
    wire = await ask(server, opening("/cookie", LINES["cookie"], origin="https://app.example.com"))
    await accepted(wire)


async def test_other_places(
    server: Any, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A good credential elsewhere is none; a query string above all, and it leaves no trace."""
    for target, line in (
        (f"/usual?access_token={ADA}&token={ADA}", "X: y"),
        ("/usual", LINES["cookie"]),
        ("/header", LINES["subprotocol"]),
        ("/subprotocol", LINES["header"]),
        ("/cookie", LINES["header"]),
        (f"/query?token={ADA}", "X: y"),
        ("/query", LINES["cookie"]),
        ("/nowhere", LINES["header"]),
        ("/usual", f"Sec-WebSocket-Protocol: Bearer.{ADA}"),
        ("/usual", f"Sec-WebSocket-Protocol: bearer {ADA}"),
        ("/usual", f"X-Authorization: Bearer {ADA}"),
    ):
        with subtests.test(target=target, line=line):
            origin = "https://app.example.com" if target == "/cookie" else None
            wire = await ask(server, opening(target, line, origin=origin))
            await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")
    assert ADA not in server.stream.getvalue()


async def test_conflicts(
    server: Any, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Of two different credentials none is chosen, though both be good."""
    for target, *lines in (
        ("/usual", LINES["header"], f"Authorization: Bearer {BOB}"),
        ("/usual", LINES["header"], LINES["header"]),
        ("/subprotocol", LINES["subprotocol"], LINES["header"], "Authorization: Basic YTpi"),
        ("/usual", LINES["header"], f"Sec-WebSocket-Protocol: chat.v1, bearer.{BOB}"),
        ("/usual", f"Sec-WebSocket-Protocol: bearer.{ADA}, bearer.{BOB}"),
        (f"/query?access_token={BOB}", LINES["header"]),
        (f"/query?access_token={BOB}&access_token={ADA}", "X: y"),
    ):
        with subtests.test(target=target, lines=lines):
            wire = await ask(server, opening(target, *lines))
            await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")
    with subtests.test("cookies"):
        line = f"Cookie: token={ADA}; token={BOB}"
        wire = await ask(server, opening("/cookie", line, origin="https://app.example.com"))
        await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")
    assert ADA not in server.stream.getvalue()
    assert BOB not in server.stream.getvalue()


async def test_the_same_twice(server: Any, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """One credential in two places is one."""
    wire = await ask(server, opening("/usual", LINES["header"], LINES["subprotocol"]))
    await accepted(wire, subprotocol="chat.v1")


async def test_a_required_subprotocol_is_a_real_one(
    server: Any, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """A credential does not stand for the subprotocol that the route requires."""
    wire = await ask(server, opening("/strict", f"Sec-WebSocket-Protocol: bearer.{ADA}"))
    await refused(server, wire, 400, "unknown_subprotocol")


async def test_what_a_way_and_a_hook_see(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, plugin: Callable
) -> None:
    """A plugin's way gets the credential and where it came from, and its identity's groups are joined."""
    seen: list[Opening] = []

    class Mine(Authenticator):
        """A way that believes everyone."""

        def authenticate(self, opening: Opening) -> Identity | None:
            seen.append(opening)
            return Identity("ann", groups=("red", "$everyone", "red", "blue")) if opening.credential else None

    text = """
routes:
  - {path: /mine, handlers: [echo], allow_missing_origin: true, authenticate: [mine], groups: [red]}
  - {path: /open, handlers: [echo], allow_missing_origin: true}
"""

    def admit(opening: Opening) -> None:
        seen.append(opening)

    hooks = plugin(authenticators=lambda: {"mine": Mine}, admit=admit)
    server = await start(text, plugins=[hooks])
    await accepted(await ask(server, opening("/mine", "Authorization: Bearer a b")))
    asked, admitted = seen
    assert asked is admitted
    assert asked.credential is not None
    assert (asked.credential.value, asked.credential.source) == ("a b", "header")
    assert asked.peer_certificate is None
    (connection,) = server.node.connections()
    assert connection.groups == ("red", "blue")
    # Without ways nothing is looked for, and two of anything are nobody's concern.
    await accepted(await ask(server, opening("/open", LINES["header"], LINES["header"])))
    assert seen[2].credential is None
