"""Tests of the gate: routes that ask for credentials, with the built-in way `token`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = """
authentication:
  token:
    keys:
      - {name: first, user: ada, token: "${ADA}", claims: {role: admin}}
      - {name: second, user: bob, token: "bob-secret-token"}
      - {name: unset, user: nobody, token: "${UNSET:-}"}
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
    authenticate: [token]
    groups: ["everyone", "user:{user}"]
    credentials_from: [header]
    subprotocols: [chat.v1]
"""


@pytest.fixture
async def server(start: Callable) -> Any:
    """Serve a route for those who have a token."""
    return await start(ROUTES, environ={"ADA": "ada-secret-token"})


async def test_no_credentials(
    server: Any, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """Without credentials of the way's kind the answer is 401 and names the scheme (RFC 9110 11.6.1)."""
    for authorization in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic YWRhOnNlY3JldA==",
        "ada-secret-token",
        "Digest a=b",
    ):
        with subtests.test(authorization=authorization):
            wire = await ask(server, opening(authorization=authorization))
            await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")


async def test_bad_credentials(
    server: Any, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A token that is nobody's is 401, however near it comes."""
    for token in (
        "ada-secret-toke",
        "ada-secret-token1",
        "ADA-SECRET-TOKEN",
        "ada-secret-token ada-secret-token",
        "ada-secret-token, bob-secret-token",
        '"ada-secret-token"',
        "ada-secret-tök",
        "${ADA}",
        "x" * 7000,
    ):
        with subtests.test(token=token):
            wire = await ask(server, opening(authorization=f"Bearer {token}"))
            await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")


async def test_two_credentials(server: Any, ask: Callable, opening: Callable, refused: Callable) -> None:
    """Two Authorization fields are 401, even if both are good."""
    lines = ["Authorization: Bearer ada-secret-token", "Authorization: Bearer bob-secret-token"]
    for pair in (lines, [lines[0], lines[0]]):
        wire = await ask(server, opening("/echo", *pair))
        await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")


async def test_token_elsewhere(
    server: Any, ask: Callable, opening: Callable, refused: Callable, subtests: pytest.Subtests
) -> None:
    """A token in the query string, a cookie or a subprotocol is none, unless a route allows it."""
    for target, line in (
        ("/echo?token=ada-secret-token&access_token=ada-secret-token", "X: y"),
        ("/echo", "Cookie: token=ada-secret-token"),
        ("/echo", "Sec-WebSocket-Protocol: chat.v1, bearer.ada-secret-token"),
        ("/echo", "X-Forwarded-User: ada"),
    ):
        with subtests.test(target=target, line=line):
            wire = await ask(server, opening(target, line))
            await refused(server, wire, 401, "unauthorized", www_authenticate="Bearer")


async def test_other_rules_come_first(
    server: Any, ask: Callable, opening: Callable, refused: Callable
) -> None:
    """A good token does not help an opening handshake that breaks another rule."""
    good = "Bearer ada-secret-token"
    for fields, status, error in (
        ({"origin": "https://example.com"}, 403, "origin_not_allowed"),
        ({"sec_websocket_key": "short"}, 400, "bad_key"),
        ({"upgrade": None}, 426, "upgrade_required"),
    ):
        await refused(server, await ask(server, opening(authorization=good, **fields)), status, error)


async def test_good_credentials(
    server: Any, ask: Callable, opening: Callable, accepted: Callable, subtests: pytest.Subtests
) -> None:
    """A token proves its key's user, with the key's claims."""
    for authorization, user, claims in (
        ("Bearer ada-secret-token", "ada", {"role": "admin"}),
        ("bearer  ada-secret-token ", "ada", {"role": "admin"}),
        ("BEARER bob-secret-token", "bob", {}),
    ):
        with subtests.test(authorization=authorization):
            await accepted(await ask(server, opening(authorization=authorization)))
            connection = server.node.connections()[-1]
            identity = connection.identity
            assert (identity.user, dict(identity.claims), identity.proved_by) == (user, claims, "token")
            assert connection.groups == ("everyone", f"user:{user}")
            assert connection in server.node.members("everyone")


async def test_one_key_of_many(start: Callable, ask: Callable, opening: Callable, accepted: Callable) -> None:
    """The last of many keys is found as well."""
    keys = ", ".join(f"{{name: k{number}, user: u{number}, token: token{number}}}" for number in range(100))
    routes = ROUTES[ROUTES.index("routes:") :]
    server = await start(f"authentication: {{token: {{keys: [{keys}]}}}}\n{routes}")
    await accepted(await ask(server, opening(authorization="Bearer token99")))
    assert server.node.connections()[0].identity.user == "u99"


async def test_refused_by_a_plugin_after_authentication(
    start: Callable, ask: Callable, opening: Callable, refused: Callable, plugin: Callable
) -> None:
    """Who is known may still not be allowed: 403."""

    def admit(opening: Any) -> Any:
        return REFUSALS["forbidden"] if opening.identity.user == "bob" else None

    server = await start(ROUTES, environ={"ADA": "ada-secret-token"}, plugins=[plugin(admit=admit)])
    wire = await ask(server, opening(authorization="Bearer bob-secret-token"))
    await refused(server, wire, 403, "forbidden")
    wire = await ask(server, opening(authorization="Bearer ada-secret-token"))
    assert (await wire.answer()).status == 101


async def test_no_token_in_the_log(server: Any, ask: Callable, opening: Callable) -> None:
    """Neither good tokens nor bad ones are logged, wherever they stand."""
    for target, authorization in (
        ("/echo", "Bearer ada-secret-token"),
        ("/echo", "Bearer wrong-secret-token"),
        ("/echo?token=wrong-secret-token", None),
        ("/nothing?token=wrong-secret-token", "Bearer ada-secret-token"),
        ("/echo?token=wrong-secret-token#", "Bearer ada-secret-token"),
    ):
        wire = await ask(server, opening(target, authorization=authorization))
        await wire.answer()
    assert len(server.log) > 3
    assert "secret-token" not in str(server.log)
