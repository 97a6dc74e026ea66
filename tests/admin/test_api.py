"""Tests of the HTTP API: pushing from anywhere, and everything that is refused."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.broker.contract import BrokerUnavailableError, MessageTooBigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import ClientResponse, ClientSession

    from gateway.testing import Served


async def answer(response: ClientResponse, status: int) -> Any:
    """Check the status and the form of an answer; give its JSON."""
    assert response.status == status, await response.text()
    assert response.headers["content-type"] == "application/json"
    value = await response.json()
    if status != 200:
        assert set(value) == {"error", "message"}
        assert all(isinstance(text, str) for text in value.values())
    return value


class TestPublishing:
    """An authenticated call reaches a group, a user, or everyone."""

    async def test_to_a_group(self, server: Served, http: ClientSession, bearer: dict[str, str]) -> None:
        """Members of the group get the message, others nothing; the answer counts the members."""
        url = server.http_url("/api/publish")
        async with server.connect("/room") as first, server.connect("/room") as second:
            body = {"group": "news", "data": "grüße, 世界"}
            async with http.post(url, json=body, headers=bearer) as response:
                value = await answer(response, 200)
            assert value == {"node": server.node.name, "connections": 2}
            assert [await first.recv(), await second.recv()] == ["grüße, 世界", "grüße, 世界"]

    async def test_to_a_group_without_members(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """A group that nobody is in is no error: none got it."""
        async with http.post(
            server.http_url("/api/publish"), json={"group": "nobody", "data": ""}, headers=bearer
        ) as response:
            assert (await answer(response, 200))["connections"] == 0

    async def test_to_a_user(
        self,
        server: Served,
        http: ClientSession,
        bearer: dict[str, str],
        connect_as: Callable[[str], Any],
    ) -> None:
        """All connections of the user get the message, and nobody else's."""
        url = server.http_url("/api/publish")
        async with connect_as("ann") as one, connect_as("ann") as two, connect_as("bob") as other:
            async with http.post(url, json={"user": "ann", "data": "for ann"}, headers=bearer) as response:
                assert (await answer(response, 200))["connections"] == 2
            async with http.post(url, json={"user": "bob", "data": "for bob"}, headers=bearer) as response:
                assert (await answer(response, 200))["connections"] == 1
            assert [await one.recv(), await two.recv(), await other.recv()] == [
                "for ann",
                "for ann",
                "for bob",
            ]

    async def test_to_everyone(
        self,
        server: Served,
        http: ClientSession,
        bearer: dict[str, str],
        connect_as: Callable[[str], Any],
    ) -> None:
        """Every connection of every route gets the message."""
        async with server.connect("/room") as one, connect_as("bob") as two:
            async with http.post(
                server.http_url("/api/publish"), json={"everyone": True, "data": "all"}, headers=bearer
            ) as response:
                assert (await answer(response, 200))["connections"] == 2
            assert [await one.recv(), await two.recv()] == ["all", "all"]

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({"data": "text"}, "text"),
            ({"data": ""}, ""),
            ({"data": {"a": [1, 2.5, None, True], "ü": "世"}}, '{"a":[1,2.5,null,true],"ü":"世"}'),
            ({"data": [1, "two"]}, '[1,"two"]'),
            ({"data": None}, "null"),
            ({"data": 12345678901234567890}, "12345678901234567890"),
            ({"data_base64": base64.b64encode(b"\x00\xff").decode()}, b"\x00\xff"),
            ({"data_base64": ""}, b""),
        ],
        ids=["text", "empty", "object", "list", "null", "number", "binary", "no-bytes"],
    )
    async def test_forms_of_data(
        self,
        server: Served,
        http: ClientSession,
        bearer: dict[str, str],
        body: dict[str, Any],
        message: str | bytes,
    ) -> None:
        """A text goes out as it is, other JSON as its text, and base64 as binary."""
        async with server.connect("/room") as client:
            async with http.post(
                server.http_url("/api/publish"), json={"group": "news"} | body, headers=bearer
            ) as response:
                await answer(response, 200)
            assert await client.recv() == message

    async def test_the_content_type_does_not_matter(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """A body is JSON whatever its Content-Type says, as command-line clients often say nothing."""
        async with http.post(
            server.http_url("/api/publish"),
            data=b'{"group": "news", "data": 1}',
            headers=bearer | {"Content-Type": "application/x-www-form-urlencoded"},
        ) as response:
            await answer(response, 200)

    async def test_a_chunked_body(self, server: Served, http: ClientSession, bearer: dict[str, str]) -> None:
        """A body that comes in pieces is taken like any other."""

        async def pieces() -> Any:
            for piece in (b'{"group": ', b'"news", "da', b'ta": "x"}'):
                yield piece

        async with http.post(server.http_url("/api/publish"), data=pieces(), headers=bearer) as response:
            await answer(response, 200)


class TestCredentials:
    """The API opens for its bearer tokens only, and exists only where there is one."""

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer wrong",
            "Basic YTpi",
            "Bearer api-token-of-op",
            "Token api-token-of-ops",
        ],
    )
    async def test_without_a_good_token(self, server: Served, http: ClientSession, value: str | None) -> None:
        """Anything but a token of the configuration gets 401 with its challenge (RFC 9110 section 15.5.2)."""
        headers = {} if value is None else {"Authorization": value}
        body = {"group": "news", "data": "x"}
        async with server.connect("/room") as client:
            async with http.post(server.http_url("/api/publish"), json=body, headers=headers) as response:
                value = await answer(response, 401)
                assert response.headers["www-authenticate"] == "Bearer"
            assert value == {"error": "unauthorized", "message": "valid credentials are required"}
            await client.send("still here")
            assert await client.recv() == "still here"

    async def test_a_users_token_does_not_open_the_api(
        self, server: Served, http: ClientSession, connect_as: Callable[[str], Any]
    ) -> None:
        """The tokens of clients and those of the API are different things."""
        async with connect_as("ann") as client:
            assert client.request is not None
            given = client.request.headers["Authorization"]
        async with http.post(
            server.http_url("/api/publish"), json={}, headers={"Authorization": given}
        ) as response:
            await answer(response, 401)

    async def test_two_authorization_fields(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """A request that shows two sets of credentials shows none."""
        headers = [("Authorization", "Bearer wrong"), *bearer.items()]
        for order in (headers, headers[::-1]):
            async with http.post(server.http_url("/api/publish"), json={}, headers=order) as response:
                await answer(response, 401)

    async def test_the_scheme_is_read_in_any_case(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """`bearer` is the same scheme as `Bearer` (RFC 9110 section 11.1)."""
        headers = {"Authorization": bearer["Authorization"].replace("Bearer", "bEARER")}
        body = {"group": "news", "data": ""}
        async with http.post(server.http_url("/api/publish"), json=body, headers=headers) as response:
            await answer(response, 200)

    async def test_the_token_is_judged_before_the_body(self, server: Served, http: ClientSession) -> None:
        """Without a token a body is neither kept nor judged, however large it is."""
        async with http.post(server.http_url("/api/publish"), data=b"x" * 5000) as response:
            await answer(response, 401)

    @pytest.mark.parametrize(
        "api",
        ["", "api: {}", "api: {tokens: []}", 'api: {tokens: [{name: ops, token: "${API:-}"}]}'],
        ids=["none", "empty", "no-token", "unset-token"],
    )
    async def test_the_api_is_off_until_a_token_is_set(
        self, serve_gateway: Callable[..., Awaitable[Served]], http: ClientSession, api: str
    ) -> None:
        """Without a token there is no API, not one that anybody may use."""
        server = await serve_gateway(api or "routes: []")
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}):
            async with http.post(server.http_url("/api/publish"), json={}, headers=headers) as response:
                assert (await answer(response, 404))["error"] == "not_found"

    async def test_a_refusal_is_logged_without_the_token(self, server: Served, http: ClientSession) -> None:
        """A refused call makes one log line with where it came from, and never with what it showed."""
        headers = {"Authorization": "Bearer guessed-secret"}
        async with http.post(server.http_url("/api/publish"), json={}, headers=headers) as response:
            await answer(response, 401)
        (line,) = [line for line in server.log if line["event"] == "api_refused"]
        assert (line["status"], line["remote"], line["path"]) == (401, "127.0.0.1", "/api/publish")
        assert "guessed-secret" not in server.stream.getvalue()

    async def test_a_publication_is_logged_with_the_name_of_its_token(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """At level debug a call tells who made it, and neither the token nor the data."""
        body = {"group": "news", "data": "confidential"}
        async with http.post(server.http_url("/api/publish"), json=body, headers=bearer) as response:
            await answer(response, 200)
        (line,) = [line for line in server.log if line["event"] == "api_published"]
        assert (line["caller"], line["connections"], line["level"]) == ("ops", 0, "debug")
        assert "confidential" not in server.stream.getvalue()
        assert bearer["Authorization"].removeprefix("Bearer ") not in server.stream.getvalue()


class TestPublishingToSeveralGroups:
    """One call, and an outcome for each group."""

    async def test_each_gets_it(self, server: Served, http: ClientSession, bearer: dict[str, str]) -> None:
        """Members of each group get it, and who is in two gets it twice."""
        url = server.http_url("/api/publish")
        async with server.connect("/room") as client:
            server.node.hub.join(server.node.connections()[0], "more")
            body = {"groups": ["news", "more", "none"], "data": "both"}
            async with http.post(url, json=body, headers=bearer) as response:
                value = await answer(response, 200)
            assert value == {
                "node": server.node.name,
                "connections": 2,
                "groups": [
                    {"group": "news", "connections": 1},
                    {"group": "more", "connections": 1},
                    {"group": "none", "connections": 0},
                ],
            }
            assert [await client.recv(), await client.recv()] == ["both", "both"]

    async def test_one_of_them_cannot(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """The refusal says what became of each; whatever else goes wrong is not told as that."""
        url = server.http_url("/api/publish")
        publish = server.node.broker.publish
        problem: Exception = BrokerUnavailableError("cut")

        def fail(publication: Any) -> int:
            if publication.group == "b":
                raise problem
            return int(publish(publication))

        server.node.broker.publish = fail
        body = {"groups": ["a", "b", "c"], "data": 1}
        async with http.post(url, json=body, headers=bearer) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "5")
            fault = {"error": "broker_unavailable", "message": "broker unavailable: cut"}
            assert await response.json() == {
                **fault,
                "groups": [
                    {"group": "a", "connections": 0},
                    {"group": "b", **fault},
                    {"group": "c", "connections": 0},
                ],
            }
        problem = MessageTooBigError(9, 5)
        async with http.post(url, json=body, headers=bearer) as response:
            assert (response.status, (await response.json())["error"]) == (413, "message_too_big")
        problem = ValueError("hunter2")
        async with http.post(url, json=body, headers=bearer) as response:
            assert response.status == 500
            assert "hunter2" not in await response.text()

    @pytest.mark.parametrize("groups", [[], ["a", "a"], ["$everyone"], [""], "a", ["a"] * 101, [1], None])
    async def test_bad_lists(
        self, server: Served, http: ClientSession, bearer: dict[str, str], groups: Any
    ) -> None:
        """A list that is empty, too long, or names a group twice or one that is none, is refused."""
        body = {"groups": groups, "data": 1}
        async with http.post(server.http_url("/api/publish"), json=body, headers=bearer) as response:
            assert (await answer(response, 400))["error"] == "bad_request"


ONE_TARGET = "exactly one of group, groups, user and everyone is needed"
ONE_DATA = "exactly one of data and data_base64 is needed"


class TestBadBodies:
    """A body that is not what the API takes gets 400, with what is wrong and nothing of itself."""

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "body is not json: EOF while parsing a value at line 1 column 0"),
            (b"hunter2", "body is not json: expected value at line 1 column 1"),
            (b'{"group": "hunter2"', "body is not json: EOF while parsing an object at line 1 column 19"),
            (b'{"data": "\xff\xfe"}', None),
            (b'{"group": "g", "data": "\\ud800"}', None),
            (b"[" * 1000, None),
            (b"[]", "not a mapping"),
            (b'"hunter2"', "not a mapping"),
            (b"null", "not a mapping"),
            (b"{}", ONE_TARGET),
            (b'{"data": "hunter2"}', ONE_TARGET),
            (b'{"group": "g"}', ONE_DATA),
            (b'{"group": "g", "user": "hunter2", "data": 1}', ONE_TARGET),
            (b'{"group": "g", "everyone": true, "data": 1}', ONE_TARGET),
            (b'{"everyone": false, "data": 1}', ONE_TARGET),
            (b'{"group": "g", "data": 1, "data_base64": ""}', ONE_DATA),
            (b'{"group": "", "data": 1}', "group: too short, at least 1 characters"),
            (b'{"group": "%s", "data": 1}' % (b"g" * 513), "group: too long, at most 512 characters"),
            (b'{"group": 5, "data": 1}', "group: not a text, put it in quotes"),
            (b'{"group": ["hunter2"], "data": 1}', "group: not a text"),
            (b'{"user": {}, "data": 1}', "user: not a text"),
            (b'{"everyone": "hunter2", "data": 1}', "everyone: not true or false"),
            (b'{"everyone": 1, "data": 1}', "everyone: not true or false"),
            (
                b'{"group": "$everyone", "data": 1}',
                "group: groups whose names begin with $ are the gateway's own",
            ),
            (
                b'{"group": "$user:ann", "data": 1}',
                "group: groups whose names begin with $ are the gateway's own",
            ),
            (b'{"group": "g", "hunter2": 1, "data": 1}', "unknown key"),
            (b'{"grup": "hunter2", "data": 1}', "unknown key (did you mean 'group'?)"),
            (b'{"group": 1, "user": [], "data": 1}', "group: not a text, put it in quotes; user: not a text"),
            (b'{"group": "g", "data_base64": "hunter2!"}', "data_base64: not base64"),
            (b'{"group": "g", "data_base64": "YQ"}', "data_base64: not base64"),
            ('{"group": "g", "data_base64": "世界"}'.encode(), "data_base64: not base64"),
            (b'{"group": "g", "data_base64": 5}', "data_base64: not a text, put it in quotes"),
            (b'{"group": "g", "data": NaN}', "data: holds a number that json has no form for"),
            (b'{"group": "g", "data": [-Infinity]}', "data: holds a number that json has no form for"),
            (gzip.compress(b'{"group": "g", "data": 1}', mtime=0), None),
        ],
    )
    async def test_a_malformed_body(
        self,
        server: Served,
        http: ClientSession,
        bearer: dict[str, str],
        body: bytes,
        message: str | None,
    ) -> None:
        """Each fault is told in a line, without what the body held; nobody gets anything."""
        async with http.post(server.http_url("/api/publish"), data=body, headers=bearer) as response:
            value = await answer(response, 400)
        assert value["error"] == "bad_request"
        assert message is None or value["message"] == message
        assert "hunter2" not in json.dumps(value)
        assert "http" not in value["message"]
        assert server.node.metrics.publications == 0

    async def test_a_body_at_the_limit(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """A body of `max_body_bytes` passes, and one more byte gets 413."""
        url = server.http_url("/api/publish")
        frame = b'{"group": "news", "data": "%s"}'
        fitting = frame % (b"x" * (2000 - len(frame) + 2))
        assert len(fitting) == 2000
        async with http.post(url, data=fitting, headers=bearer) as response:
            await answer(response, 200)
        async with http.post(url, data=fitting + b" ", headers=bearer) as response:
            value = await answer(response, 413)
        assert value == {"error": "body_too_big", "message": "body too big, limit 2000 bytes"}
        assert server.node.metrics.limits == {"max_body_bytes": 1}

    async def test_a_chunked_body_over_the_limit(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """A body that does not tell its length is cut at the limit."""

        async def pieces() -> Any:
            for _ in range(50):
                yield b"x" * 100

        async with http.post(server.http_url("/api/publish"), data=pieces(), headers=bearer) as response:
            await answer(response, 413)

    async def test_a_body_that_says_it_is_over_the_limit_is_not_waited_for(
        self, server: Served, bearer: dict[str, str]
    ) -> None:
        """A Content-Length above the limit is answered before the body comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        fields = f"Host: x\r\nContent-Length: 2001\r\nAuthorization: {bearer['Authorization']}\r\n\r\n"
        writer.write(b"POST /api/publish HTTP/1.1\r\n" + fields.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close\r\n" in head
        writer.close()

    async def test_the_gateway_serves_on_after_bad_bodies(
        self, server: Served, http: ClientSession, bearer: dict[str, str]
    ) -> None:
        """The same client goes on with a good call after a bad one, a large one included."""
        url = server.http_url("/api/publish")
        for body, status in ((b"{", 400), (b"x" * 3000, 413), (b'{"group": "g", "data": 1}', 200)):
            async with http.post(url, data=body, headers=bearer) as response:
                await answer(response, status)


class TestPaths:
    """Only what the API has is answered."""

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
    async def test_another_method(
        self, server: Served, http: ClientSession, bearer: dict[str, str], method: str
    ) -> None:
        """Another method than POST gets 405, with the one that is allowed."""
        url = server.http_url("/api/publish")
        async with http.request(method, url, headers=bearer) as response:
            await answer(response, 405)
            assert response.headers["allow"] == "POST"

    @pytest.mark.parametrize("path", ["/api", "/api/", "/api/other", "/api/publish/more", "/API/publish"])
    async def test_another_path(
        self, server: Served, http: ClientSession, bearer: dict[str, str], path: str
    ) -> None:
        """What is not there gets 404 as JSON, with the token too."""
        async with http.post(server.http_url(path), json={}, headers=bearer) as response:
            assert (await answer(response, 404))["error"] == "not_found"
