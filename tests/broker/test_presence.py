"""Tests of who is in a group, over gateways that share a broker."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from nodes import LINKED, until
from tcp_proxy import TcpProxy

from gateway import Handler, Member
from gateway.core import neighbours, presence_notes
from gateway.testing import Served, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from nodes import Servers

    Start = Callable[..., Awaitable[Served]]
    Check = Callable[[], bool]

YAML = """
listen: {drain_seconds: 0}
broker: {SETTINGS, probe_interval_seconds: 0.05}
routes:
  - {path: "/room/{room}", allow_missing_origin: true, groups: ["room:{room}", crowd], handlers: [watch]}
  - path: /user/{room}
    allow_missing_origin: true
    authenticate: [token]
    groups: ["room:{room}", crowd]
    handlers: [watch]
groups:
  - {pattern: "room:*", presence: true, presence_claims: [role], presence_grace_seconds: GRACE}
  - {pattern: crowd, presence: count}
authentication:
  token:
    keys:
      - {name: a, user: ann, token: ann-1, claims: {role: host, secret: 1}}
      - {name: b, user: bob, token: bob-1}
api: {tokens: [{name: ops, token: ops-1}]}
"""


class Watch(Handler):
    """Notes the presence events that guests hear on its node, and lets clients describe themselves."""

    def on_start(self, node: Any) -> None:
        """Begin with none."""
        node.seen = getattr(node, "seen", [])
        self.seen = node.seen

    def on_message(self, connection: Any, message: str | bytes) -> None:
        """Describe the member, or leave."""
        group = f"room:{connection.params['room']}"
        if message == "leave":
            connection.leave(group)
        else:
            connection.describe(group, {"mood": message})
        connection.send("done")

    def on_join(self, group: str, member: Member, connections: Any) -> None:
        """Note it."""
        self.note(connections, "join", member.user)

    def on_leave(self, group: str, member: Member, connections: Any) -> None:
        """Note it."""
        self.note(connections, "leave", member.user)

    def on_change(self, group: str, member: Member, former: Member, connections: Any) -> None:
        """Note it."""
        moods = former.details.get("mood"), member.details.get("mood")
        self.note(connections, "change", member.user, *moods)

    def note(self, connections: Any, *event: Any) -> None:
        """Note an event, if it is told to guests."""
        assert len({connection.route for connection in connections}) == 1
        if connections[0].identity is None:
            self.seen.append(event)


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """A function that serves a gateway until the test ends, or until its `end` is called."""
    async with AsyncExitStack() as stack:

        async def start(settings: str, grace: float = 0.0) -> Served:
            folder = tmp_path / f"gateway-{secrets.token_hex(4)}"
            folder.mkdir()
            text = YAML.replace("SETTINGS", settings).replace("GRACE", str(grace))
            own = await stack.enter_async_context(AsyncExitStack())
            served = await own.enter_async_context(serve(folder, text, handlers={"watch": Watch}))
            served.end = own.aclose
            return served

        yield start


@pytest.fixture(params=LINKED)
def server(request: pytest.FixtureRequest, servers: Servers) -> Any:
    """A server of each kind, and a part of it that the test has for itself."""
    url = getattr(servers, request.param).url
    settings = f"type: {request.param}, urls: ['{url}'], prefix: '{secrets.token_hex(4)}'"
    return SimpleNamespace(url=url, settings=settings)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nodes show life often, and take one that is silent for half a second for gone."""
    monkeypatch.setattr(presence_notes, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(neighbours, "SILENT_SECONDS", 0.5)


def connect(server: Served, user: str = "ann", room: str = "one") -> Any:
    """Connect a user to a room."""
    return server.connect(f"/user/{room}", additional_headers={"Authorization": f"Bearer {user}-1"})


def here(server: Served, room: str = "one") -> dict[str | None, int]:
    """Give who is in a room as a gateway knows it, with their connections; guests together."""
    found: Counter[str | None] = Counter()
    for member in server.node.presence(f"room:{room}"):
        found[member.user] += member.connections
    return dict(found)


def agree(expected: dict[str | None, int], *servers: Served) -> Check:
    """Give whether all gateways know just these, and have told their handlers."""
    return lambda: all(
        here(server) == expected and not server.node.roster._events._marked for server in servers
    )


async def test_nodes_agree_on_who_is_here(server: Any, start: Start) -> None:
    """Users, guests, their connections, claims and times are the same on both; another room is another."""
    one, two = await start(server.settings), await start(server.settings)
    async with (
        connect(one),
        connect(two),
        connect(two, "bob"),
        connect(two, "bob", "two"),
        one.connect("/room/one"),
        two.connect("/room/one"),
    ):
        await until(agree({"ann": 2, "bob": 1, None: 2}, one, two))
        await until(lambda: one.node.presence("room:one") == two.node.presence("room:one"))
        found = {member.user: member for member in one.node.presence("room:one")}
        assert (found["ann"].claims, found["bob"].claims) == ({"role": "host"}, {})
        assert sorted(member.since for member in one.node.presence("room:one")) == [
            member.since for member in one.node.presence("room:one")
        ]
        assert one.node.presence_count("room:one") == two.node.presence_count("room:one") == 5
        assert here(one, "two") == {"bob": 1}
    await until(agree({}, one, two))
    assert one.node.roster._groups == two.node.roster._groups == {}


async def test_events_are_raised_on_every_node(server: Any, start: Start) -> None:
    """Each node with connections in the group tells who comes and who goes, once, by the user."""
    one, two = await start(server.settings), await start(server.settings)
    async with one.connect("/room/one"), two.connect("/room/one"):
        await until(agree({None: 2}, one, two))
        async with connect(one), connect(two):
            await until(agree({None: 2, "ann": 2}, one, two))
        await until(agree({None: 2}, one, two))
        expected = [("join", None), ("join", None), ("join", "ann"), ("leave", "ann")]
        await until(lambda: one.node.seen == expected)
        # Of the guest of the other node it hears with nobody there to be told, or after its own has come.
        await until(lambda: two.node.seen in (expected, expected[1:]))


async def test_details_travel(server: Any, start: Start) -> None:
    """What a handler says of a member is known everywhere, and changes are told with what was before."""
    one, two = await start(server.settings), await start(server.settings)
    async with AsyncExitStack() as stack:
        first, second, *_ = [
            await stack.enter_async_context(client)
            for client in (connect(one), connect(two), one.connect("/room/one"), two.connect("/room/one"))
        ]
        await until(agree({"ann": 2, None: 2}, one, two))
        await first.send("glad")
        await until(lambda: ("change", "ann", None, "glad") in two.node.seen)
        await second.send("sad")
        await until(lambda: ("change", "ann", "glad", "sad") in one.node.seen)
        assert one.node.presence_member("room:one", "user:ann").details == {"mood": "sad"}


async def test_a_newcomer_learns_who_is_here(server: Any, start: Start) -> None:
    """A gateway that starts later asks, and is told all; so is one that has missed a note."""
    one = await start(server.settings)
    async with AsyncExitStack() as stack:
        for _ in range(250):
            await stack.enter_async_context(one.connect("/room/one"))
        await stack.enter_async_context(connect(one))
        two = await start(server.settings)
        await until(agree({None: 250, "ann": 1}, one, two))
        (other,) = two.node.roster._notes._others
        await until(lambda: other.whole)
        other.number -= 1  # as if it had missed one
        other.counts.clear()
        two.node.roster._groups.clear()
        async with connect(one, "bob"):
            await until(agree({None: 250, "ann": 1, "bob": 1}, one, two))


async def test_groups_that_are_counted(server: Any, start: Start) -> None:
    """Only numbers travel of a group with `count`, and all nodes have their sum; users are not known."""
    one, two = await start(server.settings), await start(server.settings)
    notes: list[Any] = []
    taker = two.node.note_takers["presence"]
    two.node.note_takers["presence"] = lambda note: [notes.append(note), taker(note)][1]
    async with connect(one, "ann", "x"), connect(one, "bob", "x"), two.connect("/room/x"):
        await until(lambda: [s.node.presence_count("crowd") for s in (one, two)] == [3, 3])
        heard = [note for note in notes if note["node"] == one.node.name]
        entries = [entry for note in heard for entry in note["members"] if entry[0] == "crowd"]
        assert [entry[1:3] + entry[5:] for entry in entries][-1] == ["", 2, {}, {}]
        with pytest.raises(ValueError, match="count"):
            two.node.presence("crowd")
    await until(lambda: [s.node.presence_count("crowd") for s in (one, two)] == [0, 0])


async def test_a_brief_reconnect_to_another_node_is_not_told(server: Any, start: Start) -> None:
    """A user who changes nodes within the grace neither leaves nor joins; one who stays away leaves."""
    one, two = await start(server.settings, 0.6), await start(server.settings, 0.6)
    async with one.connect("/room/one"), two.connect("/room/one"):
        async with connect(one) as ann:
            await ann.send("glad")
            await until(agree({None: 2, "ann": 1}, one, two))
        await until(agree({None: 2, "ann": 0}, one, two))
        async with connect(two):
            await until(agree({None: 2, "ann": 1}, one, two))
            assert one.node.presence_member("room:one", "user:ann").details == {"mood": "glad"}
        for node in (one.node, two.node):
            await until(lambda node=node: ("leave", "ann") in node.seen)
            told = [event[0] for event in node.seen if event[1] == "ann" and event[0] != "change"]
            assert told == ["join", "leave"]


async def test_who_leaves_the_group_has_left_at_once(server: Any, start: Start) -> None:
    """Leaving by one's own will needs no grace, on any node."""
    one, two = await start(server.settings, 60), await start(server.settings, 60)
    async with connect(one) as ann, two.connect("/room/one"):
        await until(agree({None: 1, "ann": 1}, one, two))
        await ann.send("leave")
        await until(agree({None: 1}, one, two))


async def test_a_node_that_stops_says_so(server: Any, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members are away at once, and gone after the grace; nobody has to wait for silence."""
    monkeypatch.setattr(neighbours, "SILENT_SECONDS", 1000.0)
    one, two = await start(server.settings, 0.3), await start(server.settings, 0.3)
    async with connect(one), two.connect("/room/one"):
        await until(agree({None: 1, "ann": 1}, one, two))
        two.node.seen.clear()
        await one.end()
        await until(lambda: not two.node.roster._notes._others)
        await until(lambda: two.node.seen == [("leave", "ann")])
        assert here(two) == {None: 1}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("silently", [False, True], ids=["broken off", "swallowed"])
async def test_nodes_that_are_cut_apart_and_joined_again(server: Any, start: Start, silently: bool) -> None:
    """Each loses the other's members after the presence time, and has them back, once, over a new link."""
    url = urlsplit(server.url)
    async with TcpProxy(url.port) as proxy:
        through = server.settings.replace(str(url.port), str(proxy.port))
        through += ", probe_timeout_seconds: 0.5, connect_timeout_seconds: 0.5"
        one, two = await start(server.settings), await start(through)
        async with connect(one), connect(two, "bob"), connect(two):
            await until(agree({"ann": 2, "bob": 1}, one, two))
            proxy.swallow()
            if not silently:
                proxy.break_off()
            await until(agree({"ann": 1}, one))
            await until(agree({"ann": 1, "bob": 1}, two))
            async with connect(one, "bob"):
                proxy.break_off()
                proxy.mend()
                await until(agree({"ann": 2, "bob": 2}, one, two))
            await until(agree({"ann": 2, "bob": 1}, one, two))
        await until(agree({}, one, two))


@pytest.mark.usefixtures("quick")
async def test_a_short_cut_is_not_told(server: Any, start: Start) -> None:
    """Of a cut that is shorter than the presence time only what happened meanwhile is told, after it."""
    url = urlsplit(server.url)
    async with TcpProxy(url.port) as proxy:
        through = server.settings.replace(str(url.port), str(proxy.port))
        one, two = await start(server.settings, 60), await start(through, 60)
        async with connect(one), one.connect("/room/one"), two.connect("/room/one") as guest:
            async with connect(two, "bob"):
                await until(agree({"ann": 1, "bob": 1, None: 2}, one, two))
                one.node.seen.clear()
                proxy.break_off()
            await guest.close()
            await until(agree({"ann": 1, "bob": 0, None: 1}, one, two))
            await until(lambda: one.node.seen == [("leave", None)])


@pytest.mark.usefixtures("quick")
async def test_a_killed_node_loses_its_members(server: Any, start: Start) -> None:
    """A node that falls silent without a word takes its members away, after presence time and grace."""
    one, two = await start(server.settings, 0.3), await start(server.settings, 0.3)
    async with connect(one), one.connect("/room/one"), two.connect("/room/one"):
        await until(agree({None: 2, "ann": 1}, one, two))
        two.node.seen.clear()
        await one.node.broker.stop()  # not a word of it reaches the other any more
        await until(agree({None: 1, "ann": 0}, two))
        await until(lambda: len(two.node.seen) == 2)
        assert set(two.node.seen) == {("leave", "ann"), ("leave", None)}
        assert here(two) == {None: 1}


async def test_the_api_tells_it(server: Any, start: Start) -> None:
    """Any node answers for all of them, in full and as a count."""
    one, two = await start(server.settings), await start(server.settings)
    async with connect(one) as ann, connect(two, "bob"), aiohttp.ClientSession() as http:
        await ann.send("glad")
        await until(agree({"ann": 1, "bob": 1}, one, two))
        await until(lambda: bool(two.node.presence_member("room:one", "user:ann").details))

        async def ask(query: str) -> dict[str, Any]:
            headers = {"Authorization": "Bearer ops-1"}
            async with http.get(two.http_url(f"/api/presence?{query}"), headers=headers) as answer:
                assert answer.status == 200
                return await answer.json()

        answer = await ask("group=room:one")
        assert (answer["node"], answer["connections"], answer["more"]) == (two.node.name, 2, False)
        assert {m.pop("user"): m.pop("since") > 0 and m for m in answer["members"]} == {
            "ann": {
                "id": "user:ann",
                "connections": 1,
                "claims": {"role": "host"},
                "details": {"mood": "glad"},
            },
            "bob": {"id": "user:bob", "connections": 1, "claims": {}, "details": {}},
        }
        assert (await ask("group=crowd&count=true"))["connections"] == 2


def entry(**changes: Any) -> list[Any]:
    """Give a good entry of a note, but for some parts."""
    values = {
        "group": "room:one",
        "id": "user:eve",
        "count": 1,
        "since": 1.0,
        "stamp": 1.0,
        "claims": {},
        "details": {},
    }
    return list({**values, **changes}.values())


@pytest.mark.parametrize(
    "note",
    [
        {"node": "n", "number": 1, "members": [entry()] * 101},
        {"node": "n", "number": 0, "members": [entry()]},
        {"node": "", "number": 1, "members": [entry()]},
        {"number": 1, "members": [entry()]},
        {"node": "n", "members": [entry()]},
        {"node": "n", "number": 1, "members": [entry()], "more": 1},
        {"node": "n", "number": 1, "members": [entry()[:-1]]},
        {"node": "n", "number": 1, "members": [entry(count=-2)]},
        {"node": "n", "number": 1, "members": [entry(id="x" * 601)]},
        {"node": "n", "number": 1, "members": [entry(since=float("nan"))]},
        {"node": "n", "number": 1, "members": [entry(details={"a": "x" * 1100})]},
        {"node": "n", "number": 1, "members": [entry(claims=[1])]},
        {"node": "n", "number": 1, "members": [entry(), entry(group=1)]},
    ],
    ids=[*"abcdefghijklm"],
)
async def test_a_poisoned_note_changes_nothing(servers: Servers, start: Start, note: dict) -> None:
    """A note that is none is refused whole, and nobody is here by it."""
    served = await start(f"type: nats, urls: ['{servers.nats.url}'], prefix: '{secrets.token_hex(4)}'")
    with pytest.raises(ValueError, match="not a note of presence"):
        served.node.note_takers["presence"]({"order": "presence", **note})
    assert here(served) == {}
    assert len(served.node.roster._notes._others) == 0


async def test_a_note_of_what_is_not_wanted_is_passed_over(servers: Servers, start: Start) -> None:
    """Members of groups without presence, of the gateway's own, and of the wrong form are not kept."""
    served = await start(f"type: nats, urls: ['{servers.nats.url}'], prefix: '{secrets.token_hex(4)}'")
    entries = [entry(group=group) for group in ("other", "$everyone", "crowd")] + [entry(id="")]
    served.node.note_takers["presence"]({"order": "presence", "node": "n", "number": 1, "members": entries})
    assert served.node.roster._groups == {}
    assert [dict(other.counts) for other in served.node.roster._notes._others] == [{}]
