"""Tests of how connections end: who closed and why, in one log line each and in the figures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway import Handler
from gateway.core.ends import code_label

YAML = """
authentication: {token: {keys: [{name: a, user: ann, token: secret-of-ann}]}}
routes:
  - path: /tell
    allow_missing_origin: true
    handlers: [tell]
    limits: {close_timeout_seconds: 0.05, ping_interval_seconds: 0, max_message_bytes: 50000}
  - {path: /mine, allow_missing_origin: true, authenticate: [token], handlers: [tell]}
"""


class Tell(Handler):
    """A handler that does as it is told."""

    async def on_message(self, connection: Any, message: str | bytes) -> None:
        """Do it."""
        if message == "close":
            connection.close(4001, "as told")
        elif message == "wait":
            await asyncio.sleep(0)
            connection.send("waited")
        else:
            connection.send(message)


@pytest.fixture
async def server(serve_gateway: Any) -> Any:
    """A gateway that does as it is told."""
    return await serve_gateway(YAML, handlers={"tell": Tell})


@pytest.fixture
def ended(server: Any, until: Any) -> Any:
    """A function that waits for the line of an end; gives it, and asserts that there is one."""

    async def ended() -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [line for line in server.log if line["event"] == "connection_closed"]

        await until(found)
        await until(lambda: not server.node.sockets)
        (line,) = found()
        assert (line["level"], line["logger"], line["node"]) == (
            "info",
            "gateway.connections",
            server.node.name,
        )
        assert server.node.metrics.ends == {(line["by"], code_label(line["code"])): 1}
        assert server.node.ends._begun == {}
        return line

    return ended


async def test_the_client_closes(server: Any, ended: Any) -> None:
    """The line has the client's code and reason, and what went each way."""
    async with server.connect(
        "/mine", additional_headers={"Authorization": "Bearer secret-of-ann"}
    ) as client:
        await client.send("four")
        await client.recv()
        await client.send(b"0123456789")
        await client.recv()
        connection = server.node.connections()[0].id
        await client.close(4002, "enough")
    line = await ended()
    assert line["connection"] == connection
    assert (line["route"], line["user"], line["remote"]) == ("/mine", "ann", "127.0.0.1")
    assert (line["by"], line["code"], line["reason"]) == ("client", 4002, "enough")
    assert (line["messages_in"], line["messages_out"]) == (2, 2)
    # Out: two frames. In: two masked ones, and the close frame with its reason.
    assert line["bytes_out"] == 2 + 4 + 2 + 10
    assert line["bytes_in"] == 6 + 4 + 6 + 10 + 6 + 2 + 6
    assert 0 <= line["seconds"] < 60
    assert "secret-of-ann" not in server.stream.getvalue()


async def test_a_handler_closes(server: Any, ended: Any) -> None:
    """A plugin's close is a handler's, whatever the client answers."""
    async with server.connect("/tell") as client:
        await client.send("close")
        await client.wait_closed()
    line = await ended()
    assert (line["by"], line["code"], line["reason"], line["user"]) == ("handler", 4001, "as told", None)


async def test_the_gateway_closes_and_is_not_answered(server: Any, ended: Any, open_raw: Any) -> None:
    """Who began keeps the word: that the client does not answer, and TCP is cut, changes nothing."""
    await open_raw(server, "/tell")
    server.node.connections()[0].begin_close(1001, "the gateway stops")
    line = await ended()
    assert (line["by"], line["code"], line["reason"]) == ("gateway", 1001, "the gateway stops")
    assert server.node.metrics.closes == {1006: 1}


async def test_a_client_that_breaks_the_protocol(server: Any, ended: Any, open_raw: Any) -> None:
    """The gateway has closed."""
    client = await open_raw(server, "/tell")
    client.write(b"\xff\xff")
    line = await ended()
    assert (line["by"], line["code"]) == ("gateway", 1002)


async def test_tcp_ends(server: Any, ended: Any, open_raw: Any) -> None:
    """Without a closing handshake it was the network; a client that says nothing has counted nothing."""
    client = await open_raw(server, "/tell")
    client.abort()
    line = await ended()
    assert (line["by"], line["code"], line["reason"]) == ("network", 1006, "")
    assert [line[f"{what}_{way}"] for what in ("messages", "bytes") for way in ("in", "out")] == [0] * 4


async def test_messages_in_parts_count_whole(server: Any, ended: Any, open_raw: Any) -> None:
    """Bytes count however they come: in pieces, while a handler waits, and several messages in one read."""
    client = await open_raw(server, "/tell")
    client.frame(2, bytes(40_000), fin=False)
    client.frame(0, bytes(9_000))
    client.text("wait")
    client.text("a")
    client.text("b")
    assert await client.receive() == (2, bytes(49_000))
    assert [await client.receive_text() for _ in range(3)] == ["waited", "a", "b"]
    client.close()
    line = await ended()
    assert (line["messages_in"], line["messages_out"]) == (4, 4)
    assert line["bytes_in"] == (8 + 40_000) + (8 + 9_000) + (6 + 4) + 2 * (6 + 1) + (6 + 2)
    # The close frame's answer goes with none of the messages.
    assert line["bytes_out"] == (4 + 49_000) + (2 + 6) + 2 * (2 + 1)


async def test_publications_count_for_each_member(server: Any, until: Any) -> None:
    """Each member of a group has its share in its own line, with pings and answers in between left out."""
    clients = [await server.connect("/tell") for _ in range(6)]
    connections = server.node.connections()
    for connection in connections:
        connection.join("g")
    connections[0].send("one more")
    connections[1].ping()
    server.node.publish("g", "12345")
    server.node.publish("g", "12345")
    for client in clients:
        while await client.recv() != "12345":
            pass
        assert await client.recv() == "12345"
    tallies = [connection.tally for connection in connections]
    assert [tally.messages_out for tally in tallies] == [3, 2, 2, 2, 2, 2]
    assert [tally.bytes_out for tally in tallies] == [24, 16, 14, 14, 14, 14]
    for client in clients:
        await client.close()


async def test_a_reason_cannot_reach_a_terminal(server: Any, ended: Any) -> None:
    """Control characters in a client's reason are written out."""
    async with server.connect("/tell") as client:
        await client.close(1000, "\x1b[2J\u202e")
    assert (await ended())["reason"] == "'\\x1b[2J\\u202e'"


async def test_a_line_below_the_level_is_not_made(serve_gateway: Any, until: Any) -> None:
    """Where the lines are not wanted, the figures are counted all the same."""
    server = await serve_gateway(YAML, handlers={"tell": Tell})
    server.node.ends._tells = False
    async with server.connect("/tell"):
        pass
    await until(lambda: not server.node.sockets)
    assert server.node.metrics.ends == {("client", "1000"): 1}
    assert not any(line["event"] == "connection_closed" for line in server.log)


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (1000, "1000"),
        (1005, "1005"),
        (1006, "1006"),
        (1014, "other"),
        (3000, "3xxx"),
        (4410, "4410"),
        (4999, "4xxx"),
    ],
)
def test_codes_as_labels(code: int, label: str) -> None:
    """Codes of the table, and the two that stand for none, are themselves."""
    assert code_label(code) == label
