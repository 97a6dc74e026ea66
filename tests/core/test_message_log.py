"""Tests of messages in the log: only where a route asks for it."""

from __future__ import annotations

from typing import Any

YAML = """
routes:
  - {path: /silent, allow_missing_origin: true, handlers: [echo]}
  - path: /open
    allow_missing_origin: true
    handlers: [echo]
    log_messages: true
    message_types: [text]
  - {path: /bytes, allow_missing_origin: true, handlers: [echo], log_messages: true}
"""


async def lines_of(server: Any, path: str, *messages: str | bytes) -> list[dict[str, Any]]:
    """Send messages; give the lines that were logged for them."""
    async with server.connect(path) as client:
        for message in messages:
            await client.send(message)
            await client.recv()
    return [line for line in server.log if line["event"] == "message_received"]


async def test_a_route_says_so(serve_gateway: Any) -> None:
    """Each message is a line with its connection and content, long ones cut, odd characters written out."""
    server = await serve_gateway(YAML)
    lines = await lines_of(server, "/open", "hello", "x" * 5000, "a\x1b[2Jb")
    assert {(line["level"], line["logger"], line["route"], line["user"]) for line in lines} == {
        ("info", "gateway.messages", "/open", None)
    }
    assert all(line["connection"] and line["node"] == server.node.name for line in lines)
    assert [line["message"] for line in lines] == ["hello", "x" * 1000, "'a\\x1b[2Jb'"]
    assert [line["length"] for line in lines] == [5, 5000, 6]


async def test_binary_messages_are_digits(serve_gateway: Any) -> None:
    """A binary message is logged as hexadecimal digits."""
    server = await serve_gateway(YAML)
    (line,) = await lines_of(server, "/bytes", b"\x00\xffab")
    assert (line["type"], line["length"], line["message"]) == ("binary", 4, "00ff6162")


async def test_other_routes_do_not(serve_gateway: Any) -> None:
    """At level debug either, no line holds a message's content."""
    server = await serve_gateway(YAML)
    assert await lines_of(server, "/silent", "a-marker-in-a-message") == []
    assert "a-marker-in-a-message" not in server.stream.getvalue()


async def test_timed_messages_are_logged_once(serve_gateway: Any) -> None:
    """The messages that are timed are logged like the others."""
    server = await serve_gateway(YAML)
    for sampler in server.gateway.figures.watch.samplers:
        sampler.arm()
    lines = await lines_of(server, "/open", *map(str, range(40)))
    assert [line["message"] for line in lines] == [str(number) for number in range(40)]
    assert sum(server.node.metrics.handler_seconds["echo", "echo", "message"].counts) >= 1
