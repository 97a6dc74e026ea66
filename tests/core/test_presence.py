"""Tests of who is in a group, on one node: through a served gateway."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Handler, Identity, Member, NoPresenceError
from gateway.config.models import GroupPolicy
from gateway.core.presence import choose_claims

if TYPE_CHECKING:
    from collections.abc import Callable

YAML = """
listen: {drain_seconds: 0}
authentication:
  token:
    keys:
      - {name: a, user: ada, token: ada-1, claims: {role: host, secret: x}}
      - {name: b, user: bob, token: bob-1}
routes:
  - {path: "/room/{room}", allow_missing_origin: true, groups: ["{room}"], handlers: [watch]}
  - {path: /user, allow_missing_origin: true, authenticate: [token], groups: ["kept"], handlers: [watch]}
  - {path: /crowd, allow_missing_origin: true, groups: ["crowd"]}
groups:
  - {pattern: kept, presence: true, presence_claims: [role, other], presence_grace_seconds: 0.2}
  - {pattern: crowd, presence: count}
  - {pattern: "off*"}
  - {pattern: "*", presence: true}
"""


class Watch(Handler):
    """Notes the presence events of its route, and does what its clients say."""

    def on_start(self, node: Any) -> None:
        """Begin with none."""
        self.node = node
        node.seen = []

    async def on_message(self, connection: Any, message: str | bytes) -> None:
        """Do what a message says."""
        order, _, rest = str(message).partition(" ")
        try:
            if order == "describe":
                connection.describe(connection.groups[0], {"mood": rest})
            elif order == "leave":
                connection.leave(connection.groups[0])
            elif order == "misdescribe":
                connection.describe(*eval(rest))  # noqa: S307 - the test's own text
        except ValueError as exc:
            connection.send(f"{type(exc).__name__}: {exc}")
        else:
            connection.send("done")

    def on_join(self, group: str, member: Member, connections: Any) -> None:
        """Note it."""
        self.node.seen.append(("join", member.user, [one.member_id for one in connections]))

    async def on_leave(self, group: str, member: Member, connections: Any) -> None:
        """Note it, or fail."""
        await asyncio.sleep(0)
        self.node.seen.append(("leave", member.user, len(connections)))
        raise RuntimeError(group)

    def on_change(self, group: str, member: Member, former: Member, connections: Any) -> None:
        """Note it."""
        self.node.seen.append(("change", former.details.get("mood"), member.details.get("mood")))


@pytest.fixture
async def server(serve_gateway: Callable) -> Any:
    """A gateway."""
    return await serve_gateway(YAML, handlers={"watch": Watch})


def user(server: Any, name: str = "ada") -> Any:
    """Connect a user."""
    return server.connect("/user", additional_headers={"Authorization": f"Bearer {name}-1"})


async def tell(client: Any, message: str) -> str:
    """Give an order; give the answer."""
    await client.send(message)
    return await client.recv()


async def test_members(server: Any) -> None:
    """Users are members by all their connections, with the chosen claims; guests each are one."""
    node = server.node
    async with user(server), user(server), user(server, "bob"), server.connect("/room/kept"):
        ada, bob, guest = node.presence("kept")
        assert (ada.id, ada.user, ada.connections, ada.claims) == ("user:ada", "ada", 2, {"role": "host"})
        assert (bob.user, bob.connections, bob.claims) == ("bob", 1, {})
        assert (guest.id, guest.user) == (node.members("kept")[-1].id, None)
        assert node.started_at <= ada.since <= bob.since <= guest.since <= node.now()
        assert node.presence_member("kept", "user:ada") == ada
        assert node.presence_member("kept", "user:eve") is None
        assert node.presence_count("kept") == 4
        assert node.presence("kept") is node.presence("kept")
    assert node.presence("nobody") == ()
    assert node.presence_count("nobody") == 0
    assert node.presence_member("nobody", "x") is None


async def test_groups_without_presence(server: Any) -> None:
    """Asking who is in one of them is an error, and so is asking for names where they are counted."""
    node = server.node
    async with server.connect("/crowd"), server.connect("/crowd"), server.connect("/room/off1"):
        for ask in (node.presence, node.presence_count):
            for group in ("off1", "off2", "$everyone", "$user:ada", "x" * 601):
                with pytest.raises(NoPresenceError, match="presence: true"):
                    ask(group)
        assert node.presence_count("crowd") == 2
        with pytest.raises(NoPresenceError, match="how many and not who"):
            node.presence("crowd")
        with pytest.raises(NoPresenceError, match="how many and not who"):
            node.presence_member("crowd", "")
        assert set(node.roster._groups) == {"crowd"}


async def test_events(server: Any, until: Callable) -> None:
    """Handlers hear who comes and who goes, with their route's connections; one that fails is logged."""
    node = server.node
    async with server.connect("/room/kept"):
        await until(lambda: len(node.seen) == 1)
        async with user(server), user(server):
            await until(lambda: len(node.seen) == 3)
        (guest,) = node.members("kept")
        await until(lambda: len(node.seen) == 4)
    ada = "user:ada"
    assert node.seen == [
        ("join", None, [guest.id]),
        ("join", "ada", [guest.id]),
        ("join", "ada", [ada]),
        ("leave", "ada", 1),
    ]
    await until(lambda: any(line["event"] == "handler_failed" for line in server.log))
    (line,) = [line for line in server.log if line["event"] == "handler_failed"]
    assert (line["group"], line["route"], line["handler"]) == ("kept", "/room/{room}", "watch")
    assert "test_presence.py:" in line["where"]
    assert node.metrics.handler_errors == 1


async def test_nobody_is_told_what_was_before_them(server: Any) -> None:
    """Of several who come in one turn of the loop, each hears of itself and of the later ones only."""
    node = server.node
    async with server.connect("/room/off1"), server.connect("/room/off2"), server.connect("/room/off3"):
        connections = sorted(node.connections(), key=lambda one: one.number)
        for connection in connections:
            connection.join("new")
        await asyncio.sleep(0)
    ids = [connection.id for connection in connections]
    assert node.seen[:3] == [("join", None, ids[:1]), ("join", None, ids[:2]), ("join", None, ids)]


async def test_a_brief_absence(server: Any, until: Callable) -> None:
    """A user who is back within the grace keeps time and details, and nobody is told; then they have left."""
    node = server.node
    async with server.connect("/room/kept"):
        async with user(server) as ada:
            assert await tell(ada, "describe glad") == "done"
            since = node.presence_member("kept", "user:ada").since
        await until(lambda: node.presence_member("kept", "user:ada").connections == 0)
        node.seen.clear()
        async with user(server):
            found = node.presence_member("kept", "user:ada")
            assert (found.since, found.details, found.connections) == (since, {"mood": "glad"}, 1)
            async with user(server, "bob"):
                pass
            await until(lambda: ("leave", "bob", 1) in node.seen)
            assert {event[1] for event in node.seen} == {"bob"}
            assert node.presence_member("kept", "user:ada").connections == 1
            node.seen.clear()
        await until(lambda: node.presence_member("kept", "user:ada") is None)
        await until(lambda: node.seen)
        assert node.seen == [("leave", "ada", 1)]
        assert len(node.roster._away) == 0
    await until(lambda: not node.roster._groups)
    assert node.roster.own == {}


async def test_who_leaves_by_will_is_not_waited_for(server: Any) -> None:
    """Neither a guest whose connection ended, nor a user who left the group."""
    node = server.node
    async with user(server) as ada:
        await tell(ada, "leave")
        assert node.presence("kept") == ()


async def test_descriptions(server: Any) -> None:
    """Each change of what is said of a member is told, and what cannot be known everywhere is refused."""
    node = server.node
    async with server.connect("/room/kept") as guest:
        for mood in ("glad", "glad", "sad", "mad"):
            assert await tell(guest, f"describe {mood}") == "done"
        assert node.seen[1:] == [
            ("change", None, "glad"),
            ("change", "glad", "sad"),
            ("change", "sad", "mad"),
        ]
        (member,) = node.presence("kept")
        assert member.details == {"mood": "mad"}
        for arguments, error in {
            "'kept', {'x': 'y' * 1024}": "too long: 1032 bytes",
            "'kept', {'x': object()}": "not plain data",
            "'kept', {'x': 2 ** 70}": "not plain data",
            "'kept', {'x': float('nan')}": "not plain data",
            "'kept', {'x': '\\ud800'}": "not plain data",
            "'other', {}": "not a member",
            "'crowd', {}": "NoPresenceError",
            "'off', {}": "NoPresenceError",
        }.items():
            assert error in await tell(guest, f"misdescribe {arguments}")
        assert node.presence("kept") == (member,)


async def test_events_of_one_turn(server: Any, until: Callable) -> None:
    """Who comes and goes within a turn is not told; a change twice in a turn is told twice."""
    node = server.node
    async with server.connect("/room/kept"), server.connect("/room/off"):
        await until(lambda: len(node.seen) == 1)
        node.seen.clear()
        (other,) = node.members("off")
        other.join("kept")
        other.leave("kept")
        await asyncio.sleep(0)
        assert node.seen == []
        other.join("kept")
        other.describe("kept", {"mood": "a"})
        other.describe("kept", {"mood": "b"})
        assert [event[0] for event in node.seen] == ["join", "change"]
        assert node.seen[1] == ("change", "a", "b")
        await asyncio.sleep(0)
        assert len(node.seen) == 2


def test_claims_that_cannot_travel_are_left_out() -> None:
    """What is no plain data or does not fit is left out of a member's claims, and the others stay."""
    identity = Identity("ada", {"a": 1, "b": object(), "c": "x" * 1100, "d": ["y"], "e": 2})
    assert choose_claims(identity, ("a", "b", "c", "d", "no")) == {"a": 1, "d": ["y"]}
    assert choose_claims(None, ("a",)) == {}


async def test_claims_of_a_renewed_identity(server: Any) -> None:
    """A connection's newer claims take the place of the former ones."""
    node = server.node
    async with user(server):
        (connection,) = node.members("kept")
        connection.identity = Identity("ada", {"role": "guest"})
        node.roster.renew(connection)
        (member,) = node.presence("kept")
        assert member.claims == {"role": "guest"}


async def test_bytes_of_a_member(server: Any) -> None:
    """A member of another node takes at most 400 bytes here, and nothing when it is gone."""
    roster = server.node.roster
    counts: dict = {}
    policy = GroupPolicy(pattern="big", presence="members")
    roster._policy_of = lambda _: policy
    tracemalloc.start()
    try:
        for number in range(5000):
            roster.hear(counts, ("big", f"user:{number}", 1, 1.0 + number, 0.0, {}, {}))
        traced, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert traced / 5000 <= 400
    for here in tuple(counts):
        roster.lose(counts, here, for_good=True)
    assert roster._groups == {}
