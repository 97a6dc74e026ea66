"""Tests of orders: who is closed, over how many turns, and what a node makes of orders that are none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Identity, Selection, hookimpl
from gateway.core import revocations as revocations_module
from gateway.core.revocations import Revocation, TooManyRevocationsError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

ROUTES = """
listen: {drain_seconds: 0}
routes:
  - {path: /open, name: open, allow_missing_origin: true, groups: [news], handlers: [echo]}
  - {path: "/as/{who}", name: as, allow_missing_origin: true, authenticate: [named], handlers: [echo]}
"""
DISCONNECT = {"order": "disconnect", "code": 4410, "reason": "over"}
PATHS = ("/open", "/as/ada", "/as/amy", "/as/bob")
REVOKE = {"order": "revoke", "token_id": "t-ada", "user": None, "issued_before": 0.0, "until": 4e9}


class Named(Authenticator):
    """A way that believes the path."""

    def authenticate(self, opening: Any) -> Identity:
        """Give the user that the path names."""
        who = opening.params["who"]
        return Identity(who, {"first": who[0]}, token_id=f"t-{who}", issued_at=1000.0)


class NamedPlugin:
    """A plugin with that way."""

    @hookimpl
    def gateway_authenticators(self) -> dict[str, type[Authenticator[Any]]]:
        """Name it."""
        return {"named": Named}


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway whose users say who they are."""
    return await serve_gateway(ROUTES, plugins=[NamedPlugin()])


async def test_many_are_closed_over_several_turns(server: Served, open_raw: Callable) -> None:
    """Of 450 connections 200 are closed in one turn of the loop, and all of them with the same code."""
    clients = [await open_raw(server, "/open") for _ in range(450)]
    hub = server.node.hub
    kept = await open_raw(server, "/as/ada")
    assert server.node.disconnect(Selection(route="open"), 4001, "out") == 450
    left = [len(hub)]
    for _ in range(2):
        await asyncio.sleep(0)
        left.append(len(hub))
    assert left == [251, 51, 1]
    for client in clients:
        assert await client.receive_close() == (4001, "out")
    kept.text("here")
    assert await kept.receive_text() == "here"


async def test_who_ends_meanwhile_is_no_trouble(
    server: Served, open_raw: Callable, until: Callable[..., Awaitable[None]]
) -> None:
    """Connections that end before their turn comes are left out, and the others are closed."""
    clients = [await open_raw(server, "/open") for _ in range(250)]
    late = server.node.connections()[249]
    server.node.disconnect(Selection(group="news"), 4001)
    late.close(4002, "first")
    codes = [(await client.receive_close())[0] for client in clients]
    assert (codes.count(4001), codes.count(4002)) == (249, 1)
    for client in clients:
        client.close()
    await until(lambda: not server.node.closing)
    assert server.node.metrics.closes == {1000: 250}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(user="ada"), {"/as/ada"}),
        (Selection(group="news"), {"/open"}),
        (Selection(route="as"), {"/as/ada", "/as/amy", "/as/bob"}),
        (Selection(claims={"first": "a"}), {"/as/ada", "/as/amy"}),
        (Selection(user="ada", route="as", claims={"first": "a"}), {"/as/ada"}),
        (Selection(), set(PATHS)),
        (Selection(user="ada", group="news"), set()),
        (Selection(user="ada", route="open"), set()),
        (Selection(user="zoe"), set()),
        (Selection(group="nobody"), set()),
        (Selection(group="$everyone"), set()),
        (Selection(group="$user:ada"), set()),
        (Selection(connection="0000000000-1"), set()),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
async def test_each_kind_of_selection(
    server: Served, open_raw: Callable, selection: Selection, expected: set[str]
) -> None:
    """A user's, a group's, a route's, those with a claim, or all: these are closed, and no other."""
    clients = {path: await open_raw(server, path) for path in PATHS}
    assert server.node.disconnect(selection) == len(expected)
    assert {connection.path for connection in server.node.connections()} == set(PATHS) - expected
    for path in expected:
        assert await clients[path].receive_close() == (1000, "")


async def test_one_connection(server: Served, open_raw: Callable) -> None:
    """A connection is closed by its id, and its neighbours are not."""
    clients = [await open_raw(server, "/open") for _ in range(3)]
    left = server.node.connections()
    assert server.node.disconnect(Selection(connection=left[1].id)) == 1
    assert server.node.connections() == (left[0], left[2])
    assert await clients[1].receive_close() == (1000, "")
    assert server.node.disconnect(Selection(connection=left[1].id)) == 0, "it is closed already"


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2999, 5000, 65536, -1])
async def test_codes_that_must_not_be_sent(server: Served, open_raw: Callable, code: int) -> None:
    """A code that is not for the wire is refused where it is given (RFC 6455 section 7.4.2)."""
    await open_raw(server, "/open")
    with pytest.raises(ValueError, match=f"close code {code} must not be sent"):
        server.node.disconnect(Selection(route="open"), code)
    with pytest.raises(ValueError, match="no close code that may be sent"):
        server.node.orders.disconnect(Selection(route="open"), code, "")
    assert len(server.node.hub) == 1


async def test_a_revocation_closes_and_keeps_out(server: Served, open_raw: Callable) -> None:
    """A revoked token's connections are closed with 4403, as are a user's older ones, and no other."""
    ada, bob = await open_raw(server, "/as/ada"), await open_raw(server, "/as/bob")
    until = server.node.now() + 100
    assert server.node.orders.revoke(Revocation("t-ada", None, 0, until)) == 1
    assert await ada.receive_close() == (4403, "identity revoked")
    assert server.node.orders.revoke(Revocation(None, "bob", 999.0, until)) == 0, "issued later"
    bob.text("here")
    assert await bob.receive_text() == "here"
    assert server.node.orders.revoke(Revocation(None, "bob", 1000.0, until)) == 1
    assert await bob.receive_close() == (4403, "identity revoked")
    assert server.node.revocations.covers(Identity("x", token_id="t-ada"))


@pytest.mark.parametrize(
    "note",
    [
        None,
        [],
        "disconnect",
        b"\x80\x04.",
        {},
        {"order": "reboot"},
        {"order": ["disconnect"]},
        {"code": 4410, "reason": ""},
        DISCONNECT | {"code": 1006},
        DISCONNECT | {"code": 99_999},
        DISCONNECT | {"code": "4410"},
        DISCONNECT | {"code": True},
        DISCONNECT | {"reason": None},
        DISCONNECT | {"reason": b"over"},
        DISCONNECT | {"user": 5},
        DISCONNECT | {"user": ["ada"]},
        DISCONNECT | {"group": {"news": 1}},
        DISCONNECT | {"claims": "first"},
        DISCONNECT | {"claims": [["first", "a"]]},
        DISCONNECT | {"claims": {"first": object()}},
        DISCONNECT | {"extra": 1},
        {"order": "disconnect", "reason": ""},
        {"order": "disconnect", "code": 4410},
        {"order": "revoke"},
        REVOKE | {"token_id": None},
        REVOKE | {"user": "ada"},
        REVOKE | {"token_id": 5},
        REVOKE | {"until": None},
        REVOKE | {"until": "4e9"},
        REVOKE | {"until": float("nan")},
        REVOKE | {"until": float("inf")},
        REVOKE | {"issued_before": float("nan")},
        REVOKE | {"issued_before": None},
        REVOKE | {"extra": 1},
        {name: value for name, value in REVOKE.items() if name != "user"},
    ],
    ids=lambda note: str(note).translate({ord(c): None for c in "{}'\"[]\\"})[:60],
)
async def test_what_is_no_order_changes_nothing(server: Served, open_raw: Callable, note: Any) -> None:
    """A note that is not exactly an order raises, without a word of it, and nothing has been done."""
    client = await open_raw(server, "/as/ada")
    with pytest.raises(ValueError, match=r"\S") as caught:
        server.node.orders.take(note)
    assert "ada" not in str(caught.value)
    assert len(server.node.revocations) == 0
    assert not server.node.revocations.covers(Identity("None", token_id="None"))
    client.text("here")
    assert await client.receive_text() == "here"


async def test_the_notes_of_tests_are_orders_otherwise(server: Served, open_raw: Callable) -> None:
    """The notes that the poisoned ones were made of are good."""
    client = await open_raw(server, "/as/bob")
    assert server.node.orders.take(REVOKE) == 0
    assert server.node.orders.take(DISCONNECT | {"claims": {"first": "b"}}) == 1
    assert await client.receive_close() == (4410, "over")


async def test_orders_travel_as_plain_data(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a broker is given is of JSON's types, and holds what was asked for and nothing else."""
    notes: list[Any] = []
    monkeypatch.setattr(server.node.broker, "notify", lambda note: notes.append(note) or 7)
    assert server.node.disconnect(Selection(user="ada", claims={"a": [1]}), 4000, "out") == 7
    assert server.node.orders.revoke(Revocation(None, "ada", 5, 6)) == 7
    assert notes == [
        {
            "order": "disconnect",
            "code": 4000,
            "reason": "out",
            "user": "ada",
            "claims": {"a": [1]},
        },
        {"order": "revoke", "token_id": None, "user": "ada", "issued_before": 5.0, "until": 6.0},
    ]
    assert all(type(note) is dict for note in notes)
    with pytest.raises(ValueError, match="claims"):
        server.node.disconnect(Selection(claims={"a": object()}))


async def test_no_room_for_a_revocation(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit a revocation is refused with its own error, and nobody is closed for it."""
    monkeypatch.setattr(revocations_module, "MOST_REVOCATIONS", 0)
    with pytest.raises(TooManyRevocationsError, match="too many revocations"):
        server.node.orders.take(REVOKE)
    assert len(server.node.revocations) == 0
