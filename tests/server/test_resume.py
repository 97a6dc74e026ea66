"""Tests of clients that come back: a route with envelopes, tokens, and what was missed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
import pytest

from gateway.core.replays import Replays

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from websockets.asyncio.client import ClientConnection

    from gateway.testing import Served

TOKEN = "api-" + "token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}

CONFIGURATION = f"""
listen: {{drain_seconds: 0}}
api: {{tokens: [{{name: ops, token: {TOKEN}}}]}}
routes:
  - {{path: "/room/{{room}}", handlers: [echo], allow_missing_origin: true, envelope: json,
      groups: ["room:{{room}}", everyone]}}
  - {{path: "/two", handlers: [echo], allow_missing_origin: true, envelope: json,
      groups: ["room:1", "room:2"]}}
  - {{path: "/small", handlers: [echo], allow_missing_origin: true, envelope: json,
      groups: ["room:1"], limits: {{send_queue_bytes: 4096}}}}
  - {{path: "/plain/{{room}}", handlers: [echo], allow_missing_origin: true, groups: ["room:{{room}}"]}}
  - {{path: "/pressed", handlers: [echo], allow_missing_origin: true, envelope: json, groups: ["room:1"],
      compression: {{min_bytes: 1}}}}
groups:
  - {{pattern: "room:*", history: {{size: 5, seconds: 60}}}}
"""


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with rooms that keep five publications."""
    return await serve_gateway(CONFIGURATION)


async def envelope(client: ClientConnection) -> dict[str, Any]:
    """Give the next envelope."""
    value = json.loads(await client.recv())
    assert isinstance(value, dict)
    return value


async def latest(client: ClientConnection) -> str:
    """Give the newest of the tokens that have come; an empty one if none has."""
    await client.send("and then?")
    token = ""
    while "data" not in (one := await envelope(client)):
        token = one["resume"]
    assert one == {"data": "and then?"}
    return token


async def api(server: Served, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
    """Ask the API."""
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, server.http_url(path), json=body, headers=HEADERS) as response,
    ):
        assert response.status == status, await response.text()
        return await response.json()


def back(server: Served, token: str, path: str = "/room/1") -> Any:
    """Come back with a token."""
    return server.connect(f"{path}?resume={quote(token)}")


class TestEnvelopes:
    """Each message comes in an object that says what it is."""

    async def test_publications(self, server: Served) -> None:
        """A publication names its group and its place; one to a group without history has none."""
        async with server.connect("/room/1") as client:
            assert set(await envelope(client)) == {"resume"}
            server.node.publish("room:1", "a")
            server.node.publish("room:1", b"\x01")
            server.node.publish("everyone", "c")
            first, second, third = [await envelope(client) for _ in range(3)]
        assert (first["group"], first["data"], second["data_base64"]) == ("room:1", "a", "AQ==")
        assert second["previous"] == first["offset"] < second["offset"]
        assert first["epoch"] == second["epoch"]
        assert {"group": "everyone", "data": "c"}.items() <= third.items()
        assert "offset" not in third

    async def test_messages_to_one(self, server: Served) -> None:
        """What a handler sends comes in an envelope without a group."""
        async with server.connect("/room/1") as client:
            await envelope(client)
            await client.send("hello")
            assert await envelope(client) == {"data": "hello"}

    async def test_other_routes(self, server: Served) -> None:
        """On a route without envelopes members of the same group get the message as it is."""
        async with server.connect("/plain/1") as plain, server.connect("/room/1") as client:
            await envelope(client)
            server.node.publish("room:1", "a")
            assert await plain.recv() == "a"
            assert (await envelope(client))["data"] == "a"

    async def test_compressed(self, server: Served) -> None:
        """Envelopes are compressed where that was agreed on."""
        async with server.connect("/pressed") as client:
            token = (await envelope(client))["resume"]
            server.node.publish("room:1", "a" * 1000)
            assert (await envelope(client))["data"] == "a" * 1000
        async with back(server, token, "/pressed") as client:
            assert (await envelope(client))["recovered"] is True
            assert (await envelope(client))["data"] == "a" * 1000


class TestResuming:
    """Who comes back with a token gets what was missed, in order, once, before anything else."""

    async def test_what_was_missed(self, server: Served) -> None:
        """It is all there, and then comes what is new."""
        async with server.connect("/room/1") as client:
            await envelope(client)
            server.node.publish("room:1", "seen")
            token = (await envelope(client))["resume"]
        for text in ("one", "two"):
            server.node.publish("room:1", text)
        server.node.publish("room:2", "elsewhere")
        async with back(server, token) as client:
            server.node.publish("room:1", "three")
            got = [await envelope(client) for _ in range(4)]
        assert got[0]["recovered"] is True
        assert [one["data"] for one in got[1:]] == ["one", "two", "three"]
        assert got[1]["offset"] < got[2]["offset"] < got[3]["offset"]
        assert server.node.metrics.recoveries["recovered"] == 1

    async def test_each_envelope_goes_on_from_its_place(self, server: Served) -> None:
        """Who is cut off in the middle of what was missed comes back with the last token that came."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        for text in ("one", "two", "three"):
            server.node.publish("room:1", text)
        async with back(server, token) as client:
            await envelope(client)
            one = await envelope(client)
        async with back(server, one["resume"]) as client:
            assert (await envelope(client))["recovered"] is True
            assert [(await envelope(client))["data"] for _ in range(2)] == ["two", "three"]

    async def test_an_old_position_stays_old(
        self, gateway_clock: Any, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Tokens among what was missed are good for as long as the one that came; the last is a new one."""
        server = await serve_gateway(CONFIGURATION)
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:1", "one")
        server.node.publish("room:1", "two")
        await gateway_clock.turn(50)
        async with back(server, token) as client:
            told = [await envelope(client) for _ in range(3)]
        assert told[0]["missed"] == 2
        await gateway_clock.turn(15)
        for one, recovered in zip(told, (False, False, True), strict=True):
            async with back(server, one["resume"]) as client:
                assert (await envelope(client))["recovered"] is recovered

    async def test_nothing_was_missed(self, server: Served) -> None:
        """With nothing in between it is recovered, and what comes next is new."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        async with back(server, token) as client:
            answer = await envelope(client)
            assert answer["recovered"] is True
            server.node.publish("room:1", "new")
            assert (await envelope(client))["data"] == "new"

    async def test_more_than_is_kept(self, server: Served) -> None:
        """If the history does not reach back far enough there is a plain word, and nothing partial."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        for number in range(6):
            server.node.publish("room:1", str(number))
        async with back(server, token) as client:
            answer = await envelope(client)
            assert answer["recovered"] is False
            server.node.publish("room:1", "new")
            assert (await envelope(client))["data"] == "new"
        async with back(server, answer["resume"]) as client:
            assert (await envelope(client))["recovered"] is True
            assert (await envelope(client))["data"] == "new"
        assert server.node.metrics.recoveries == {"not_kept": 1, "recovered": 1}

    async def test_several_groups(self, server: Served) -> None:
        """A token names all groups with history that the connection is in."""
        async with server.connect("/two") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:2", "two")
        server.node.publish("room:1", "one")
        async with back(server, token, "/two") as client:
            assert (await envelope(client))["recovered"] is True
            got = {(one["group"], one["data"]) for one in [await envelope(client), await envelope(client)]}
        assert got == {("room:1", "one"), ("room:2", "two")}

    async def test_of_other_groups(self, server: Served) -> None:
        """A token without one of the connection's groups recovers nothing; others in it open nothing."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:1", "one")
        server.node.publish("room:2", "secret")
        async with back(server, token, "/two") as client:
            assert (await envelope(client))["recovered"] is False
            server.node.publish("room:2", "new")
            assert (await envelope(client))["data"] == "new"
        async with server.connect("/two") as client:
            both = (await envelope(client))["resume"]
        server.node.publish("room:2", "secret")
        async with back(server, both, "/room/1") as client:
            assert (await envelope(client))["recovered"] is True
            server.node.publish("room:1", "new")
            assert (await envelope(client))["data"] == "new"
        assert server.node.metrics.recoveries == {"other_groups": 1, "recovered": 1}

    @pytest.mark.parametrize("token", ["", "junk", "AAAA", "%00", "x" * 5000])
    async def test_no_token(self, server: Served, token: str) -> None:
        """What is no token of ours recovers nothing, and the connection opens."""
        async with server.connect(f"/room/1?resume={token}") as client:
            answer = await envelope(client)
        assert answer["recovered"] is False
        assert server.node.metrics.recoveries == {"bad_token": 1}

    async def test_too_much(self, server: Served) -> None:
        """What would not fit into the send queue is not begun with."""
        async with server.connect("/small") as client:
            token = (await envelope(client))["resume"]
        for _ in range(3):
            server.node.publish("room:1", "x" * 1000)
        async with back(server, token, "/small") as client:
            assert (await envelope(client))["recovered"] is False
        assert server.node.metrics.recoveries == {"too_much": 1}

    async def test_what_takes_more_bytes_than_characters(self, server: Served) -> None:
        """It is the bytes on the wire that have to fit."""
        async with server.connect("/small") as client:
            token = (await envelope(client))["resume"]
        for _ in range(3):
            server.node.publish("room:1", "\N{GRINNING FACE}" * 200)
        async with back(server, token, "/small") as client:
            assert (await envelope(client))["recovered"] is False
        async with back(server, token) as client:  # a route with more room is another matter
            assert (await envelope(client))["missed"] == 3
            assert [(await envelope(client))["data"] for _ in range(3)] == ["\N{GRINNING FACE}" * 200] * 3
        assert server.node.metrics.recoveries == {"too_much": 1, "recovered": 1}

    async def test_a_greeting_that_ends_the_connection(
        self, server: Served, monkeypatch: pytest.MonkeyPatch, until: Callable[..., Awaitable[None]]
    ) -> None:
        """It ends in order, and nobody else's end is disturbed by that."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        huge = ["x" * 8_000_000] * 3
        monkeypatch.setattr(Replays, "give", lambda *_: ("recovered", huge))
        async with server.connect(f"/room/1?resume={token}", max_size=None, max_queue=1) as client:
            await client.wait_closed()
        monkeypatch.undo()
        for _ in range(3):
            async with server.connect("/room/1") as client:
                await envelope(client)
                await client.close()
                assert client.close_code == 1000
        await until(lambda: not server.node.sockets)
        assert len(server.node.rounds(20.0)) == 0
        assert server.node.metrics.closes[1013] == 1

    async def test_many_with_one_token(self, server: Served) -> None:
        """All who come back with the same position get the same, also when it has gone on meanwhile."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:1", "one")
        for number in range(3):
            async with back(server, token) as client:
                assert (await envelope(client))["recovered"] is True
                got = [(await envelope(client))["data"] for _ in range(number + 1)]
                assert got == ["one", "0", "1"][: number + 1]
            server.node.publish("room:1", str(number))

    async def test_without_envelopes(self, server: Served) -> None:
        """A route without envelopes pays no heed to tokens: they are its handlers' business."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:1", "missed")
        async with back(server, token, "/plain/1") as client:
            server.node.publish("room:1", "new")
            assert await client.recv() == "new"

    async def test_an_outage(self, server: Served) -> None:
        """While the history cannot be had the client is told that it is not recovered, and connected."""
        async with server.connect("/room/1") as client:
            token = (await envelope(client))["resume"]
        server.node.publish("room:1", "missed")
        with server.broker_outage():
            async with back(server, token) as client:
                assert await envelope(client) == {"recovered": False}
        assert server.node.metrics.recoveries == {"unavailable": 1}


class TestTokensStayGood:
    """Who is connected has a token that is good, also where nothing is published."""

    async def test_a_quiet_group(
        self, gateway_clock: Any, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Before half of its time is over, another comes."""
        server = await serve_gateway(CONFIGURATION + "resume: {seconds: 40}\n")
        async with server.connect("/room/1") as client:
            first = (await envelope(client))["resume"]
            await gateway_clock.turn(30)
            second = await envelope(client)
            assert set(second) == {"resume"}
            await gateway_clock.turn(15)
        server.node.publish("room:1", "missed")
        async with back(server, first) as client:
            assert (await envelope(client))["recovered"] is False
        async with back(server, second["resume"]) as client:
            assert (await envelope(client))["recovered"] is True

    async def test_a_group_that_keeps_little(
        self, gateway_clock: Any, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Where a group keeps its history for less than a token might be good, the next one comes sooner."""
        server = await serve_gateway(CONFIGURATION + "resume: {seconds: 3600}\n")
        async with server.connect("/room/1") as client:
            await envelope(client)
            for _ in range(3):
                await gateway_clock.turn(50)
                assert server.node.resuming.tokens.read(await latest(client)) is not None
            server.node.publish("room:1", "what takes a token along")
            await envelope(client)
            await gateway_clock.turn(25)
            assert await latest(client) == ""

    @pytest.mark.parametrize("to", ["some", "others"])
    async def test_what_does_not_reach_all(
        self, gateway_clock: Any, serve_gateway: Callable[..., Awaitable[Served]], to: str
    ) -> None:
        """What only some of those with the same groups get brings the others no token: theirs comes still."""
        server = await serve_gateway(CONFIGURATION)
        async with server.connect("/room/1") as client, server.connect("/room/1") as other:
            await envelope(client)
            await envelope(other)
            one, another = server.node.members("room:1")
            another.join("some")
            for _ in range(14):
                await gateway_clock.turn(5)
                if to == "some":
                    server.node.publish("some", "x")
                else:
                    server.node.publish("room:1", "x", exclude=one)
            assert server.node.resuming.tokens.read(await latest(client)) is not None

    async def test_groups_that_change(
        self, gateway_clock: Any, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Who joins or leaves a group has a token that is good all the time, too."""
        server = await serve_gateway(CONFIGURATION)
        async with server.connect("/room/2") as there, server.connect("/room/1") as client:
            await envelope(there)
            await envelope(client)
            (member,) = server.node.members("room:1")
            for group in ("room:0", "room:2"):
                await gateway_clock.turn(25)
                member.join(group)
                await gateway_clock.turn(25)
                assert server.node.resuming.tokens.read(await latest(client)) is not None
                member.leave("room:0")
            await gateway_clock.turn(40)
            resumption = server.node.resuming.tokens.read(await latest(client))
        assert resumption is not None
        assert set(resumption.positions) == {"room:1", "room:2"}


class TestApi:
    """History and positions from outside."""

    async def test_a_page_that_is_rendered_and_then_connects(self, server: Served) -> None:
        """What is published between the rendering of a page and its connection is not lost."""
        token = (await api(server, "/api/position?group=room:1"))["resume"]
        await api(server, "/api/publish", {"group": "room:1", "data": "in between"})
        async with back(server, token) as client:
            assert (await envelope(client))["recovered"] is True
            assert (await envelope(client))["data"] == "in between"

    async def test_from_a_handler(self, server: Served) -> None:
        """Handlers and plugins sign positions too."""
        token = await server.node.resume_token("room:1", "room:2")
        server.node.publish("room:2", "in between")
        async with back(server, token, "/two") as client:
            assert (await envelope(client))["recovered"] is True
            assert (await envelope(client))["data"] == "in between"
        with pytest.raises(ValueError, match="keeps no history"):
            await server.node.resume_token("everyone")

    async def test_positions(self, server: Served) -> None:
        """Publishing gives the position; asking for it gives the same, and for how long the token is good."""
        done = await api(server, "/api/publish", {"group": "room:1", "data": "x"})
        answer = await api(server, "/api/position?group=room:1&group=room:2")
        assert answer["positions"]["room:1"] == {"offset": done["offset"], "epoch": done["epoch"]}
        assert answer["expires_in_seconds"] == 60
        assert "connections" not in done

    async def test_history(self, server: Served) -> None:
        """What is kept is given in order, from an offset on or the newest, and whether that is all."""
        places = [
            await api(server, "/api/publish", {"group": "room:1", "data": str(number)}) for number in range(7)
        ]
        offsets = [place["offset"] for place in places]
        newest = await api(server, "/api/history?group=room:1")
        assert [one["data"] for one in newest["publications"]] == ["2", "3", "4", "5", "6"]
        assert newest["position"] == {"offset": offsets[6], "epoch": places[6]["epoch"]}
        since = await api(server, f"/api/history?group=room:1&since={offsets[3]}&limit=2")
        assert [one["offset"] for one in since["publications"]] == offsets[4:6]
        assert since["publications"][0]["previous"] == offsets[3]
        assert (since["complete"], since["more"]) == (True, True)
        rest = await api(server, f"/api/history?group=room:1&since={offsets[5]}")
        assert (rest["complete"], rest["more"]) == (True, False)
        lost = await api(server, f"/api/history?group=room:1&since={offsets[0]}")
        assert lost["complete"] is False
        other = await api(server, f"/api/history?group=room:1&since={offsets[6]}&epoch=other")
        assert other["complete"] is False

    async def test_binary(self, server: Served) -> None:
        """Binary messages come in base64."""
        await api(server, "/api/publish", {"group": "room:1", "data_base64": "AP8="})
        (one,) = (await api(server, "/api/history?group=room:1"))["publications"]
        assert one["data_base64"] == "AP8="
        assert "data" not in one

    @pytest.mark.parametrize(
        ("query", "status", "error"),
        [
            ("history?group=everyone", 404, "no_history"),
            ("position?group=everyone", 404, "no_history"),
            ("history", 400, "bad_request"),
            ("position", 400, "bad_request"),
            ("history?group=room:1&since=-1", 400, "bad_request"),
            ("history?group=room:1&since=x", 400, "bad_request"),
            ("history?group=room:1&limit=1001", 400, "bad_request"),
            ("history?group=room:1&group=room:2", 400, "bad_request"),
            ("history?group=room:1&grup=x", 400, "bad_request"),
            ("history?group=%ff", 400, "bad_request"),
            ("history?group=$everyone", 400, "bad_request"),
            ("position?" + "&".join(f"group=room:{'x' * 200}{n}" for n in range(30)), 400, "bad_request"),
        ],
    )
    async def test_refused(self, server: Served, query: str, status: int, error: str) -> None:
        """A question that has no answer gets a plain one."""
        answer = await api(server, f"/api/{query}", status=status)
        assert answer["error"] == error

    async def test_without_a_token_of_the_api(self, server: Served) -> None:
        """Nobody reads without being let in."""
        async with aiohttp.ClientSession() as http:
            for path in ("/api/history?group=room:1", "/api/position?group=room:1"):
                async with http.get(server.http_url(path)) as response:
                    assert response.status == 401


class TestIdempotency:
    """A publication that is tried again is published once."""

    @pytest.mark.parametrize("group", ["room:1", "everyone"])
    async def test_a_retry(self, server: Served, group: str) -> None:
        """The second try says so, with the position of the first where there is one; nobody gets it twice."""
        body = {"group": group, "data": "x", "idempotency_key": "k1"}
        async with server.connect("/room/1") as client:
            await envelope(client)
            first = await api(server, "/api/publish", body)
            again = await api(server, "/api/publish", body)
            await api(server, "/api/publish", {**body, "data": "y", "idempotency_key": "k2"})
            assert [(await envelope(client))["data"] for _ in range(2)] == ["x", "y"]
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert first.get("offset") == again.get("offset")

    async def test_a_key_belongs_to_its_group(self, server: Served) -> None:
        """The same key in another group is another publication."""
        for group in ("room:1", "room:2", "everyone", "other"):
            body = {"group": group, "data": "x", "idempotency_key": "k"}
            assert (await api(server, "/api/publish", body))["repeated"] is False
