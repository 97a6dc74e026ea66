"""What the service's answers do, and what becomes of those that are none."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Published, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]

FAILED = (1011, "the service failed")


async def test_send_in_order(serve_webhook: Serve, gateway_client: Connect, service: Any) -> None:
    """Texts, JSON and binary messages come as the types that they are, in the answer's order."""
    service.at(
        "open",
        {"type": "send", "text": "hello"},
        {"type": "send", "json": {"名": [1, None]}},
        {"type": "send", "json": None},
        {"type": "send", "binary": base64.b64encode(b"\x00\xff").decode()},
        {"type": "send", "text": ""},
    )
    client = await gateway_client(await serve_webhook())
    heard = [await client.receive() for _ in range(5)]
    assert heard == ["hello", '{"名":[1,null]}', "null", b"\x00\xff", ""]


async def test_groups_and_publications(
    serve_webhook: Serve, gateway_client: Connect, service: Any, gateway_published: Published
) -> None:
    """A connection joins before what is published next, leaves, and reaches users and everyone."""
    service.at(
        "go",
        {"type": "join", "group": "room"},
        {"type": "publish", "group": "room", "text": "in", "key": "state"},
        {"type": "publish", "group": "room", "text": "for others", "include_sender": False},
        {"type": "leave", "group": "room"},
        {"type": "publish", "group": "room", "text": "out"},
        {"type": "publish", "user": "ada", "json": {"for": "ada"}},
        {"type": "publish", "everyone": True, "binary": "AA=="},
    )
    client = await gateway_client(await serve_webhook())
    await client.send("go")
    assert [await client.receive() for _ in range(2)] == ["in", b"\x00"]
    await client.expect_nothing()
    assert gateway_published.to_group("room") == ["in", "for others", "out"]
    assert [record.key for record in gateway_published if record.group == "room"] == ["state", None, None]
    assert gateway_published.to_user("ada") == ['{"for":"ada"}']


async def test_close(serve_webhook: Serve, gateway_client: Connect, service: Any) -> None:
    """A connection is closed with the answer's code, after what stands before it."""
    service.at("open", {"type": "send", "text": "no"}, {"type": "close", "code": 4000, "reason": "full"})
    client = await gateway_client(await serve_webhook())
    await client.expect_close(4000, "full")
    assert client.received == ["no"]
    await service.heard("open", "close")


async def test_empty_answers_ask_for_nothing(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """No body, no object's keys, and 204 are answers."""
    answers = {"1": web.Response(status=204), "2": web.Response(text=" "), "3": web.Response(text="{}")}
    service.answer = lambda request: answers.get(request.said, [])
    client = await gateway_client(await serve_webhook())
    for said in answers:
        await client.send(said)
    await client.send("4")
    await service.heard("open", "1", "2", "3", "4")
    await client.expect_nothing()


JUNK = {
    "not JSON": (b"SECRET", "not JSON"),
    "not UTF-8": (b"\xff", "not JSON"),
    "half": (b'{"actions": [', "not JSON"),
    "deep": (b"[" * 100_000, "not JSON"),
    "NaN": (b'{"actions": [{"type": "send", "json": NaN}]}', "not JSON"),
    "half a character": (b'{"actions": [{"type": "send", "text": "\\ud800"}]}', "not JSON"),
    "endless number": (b'{"actions": [{"type": "send", "json": 1e999}]}', "actions.0.send.json: number"),
    "list": (b"[]", "model_type"),
    "other key": (b'{"SECRET": 1}', "a key: extra_forbidden"),
    "misspelt key": (
        b'{"actions": [{"type": "close", "SECRET": 1}]}',
        "actions.0.close.a key: extra_forbidden",
    ),
    "unknown action": (b'{"actions": [{"type": "SECRET"}]}', "actions.0: union_tag_invalid"),
    "no message": (b'{"actions": [{"type": "send"}]}', "actions.0.send: content"),
    "two messages": (b'{"actions": [{"type": "send", "text": "", "json": 1}]}', "actions.0.send: content"),
    "not base64": (
        b'{"actions": [{"type": "send", "binary": "SECRET!"}]}',
        "actions.0.send.binary: not_base64",
    ),
    "no receiver": (b'{"actions": [{"type": "publish", "text": "a"}]}', "actions.0.publish: receiver"),
    "two receivers": (
        b'{"actions": [{"type": "publish", "group": "a", "user": "b", "text": "a"}]}',
        "actions.0.publish: receiver",
    ),
    "the gateway's group": (
        b'{"actions": [{"type": "publish", "group": "$user:ada", "text": "a"}]}',
        "actions.0.publish.group: string_pattern_mismatch",
    ),
    "the protocol's code": (
        b'{"actions": [{"type": "close", "code": 1006}]}',
        "actions.0.close.code: close_code",
    ),
    "code is a text": (b'{"actions": [{"type": "close", "code": "1000"}]}', "actions.0.close.code: int_type"),
    "too many": (json.dumps({"actions": [{"type": "close"}] * 1001}).encode(), "actions: too_long"),
}


@pytest.mark.parametrize("junk", JUNK)
async def test_junk_ends_its_own_connection(
    serve_webhook: Serve, gateway_client: Connect, service: Any, junk: str
) -> None:
    """An answer that is none is told in words, does nothing, not even in part, and costs 1011."""
    body, fact = JUNK[junk]
    if body.startswith(b'{"actions": [{') and junk != "too many":
        body = body.replace(b"[{", b'[{"type": "send", "text": "part"}, {', 1)
        fact = fact.replace(".0", ".1")
    service.answer = lambda request: web.Response(body=body) if request.said == "junk" else []
    served = await serve_webhook()
    client, witness = await gateway_client(served), await gateway_client(served)
    await client.send("junk")
    await client.expect_close(*FAILED)
    assert client.received == []
    await witness.arrive()
    (line,) = [line for line in served.log if line["event"] == "webhook_failed"]
    assert line["error"] == f"not an answer: {fact}"
    assert "SECRET" not in served.stream.getvalue()
    assert served.errors == []


@pytest.mark.parametrize(
    ("error", "response"),
    [
        ("answered 307", lambda: web.Response(status=307, headers={"Location": "/other"})),
        ("answered 302", lambda: web.Response(status=302, headers={"Location": "/other"})),
        ("answered 400", lambda: web.Response(status=400, text="SECRET")),
        (
            "not an answer: encoded",
            lambda: web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"}),
        ),
        ("not an answer: longer than 256 bytes", lambda: web.Response(body=b" " * 257)),
    ],
)
async def test_other_answers_are_not_tried_again(
    serve_webhook: Serve, gateway_client: Connect, service: Any, error: str, response: Any
) -> None:
    """Redirects are not followed; what another try would not change costs 1011 at once."""
    service.answer = lambda request: response() if request.said == "go" else []
    served = await serve_webhook(max_answer_bytes=256)
    client = await gateway_client(served)
    await client.send("go")
    await client.expect_close(*FAILED)
    await service.heard("open", "go", "close")
    assert [line["error"] for line in served.log if line["event"] == "webhook_failed"] == [error]
    assert "SECRET" not in served.stream.getvalue()


async def test_longest_answer_is_taken(serve_webhook: Serve, gateway_client: Connect, service: Any) -> None:
    """An answer of exactly as many bytes as are allowed is one."""
    body = json.dumps({"actions": [{"type": "send", "text": "fits"}]}).ljust(256).encode()
    service.answer = lambda _: web.Response(body=body)
    client = await gateway_client(await serve_webhook(max_answer_bytes=256))
    assert await client.receive() == "fits"


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_huge_answer_is_cut_off(
    serve_webhook: Serve, gateway_client: Connect, service: Any, chunked: bool
) -> None:
    """A huge answer is read no further than its limit, and the service sees the end of its connection."""
    ends: list[str] = []

    async def answer(request: Any) -> web.StreamResponse:
        response = web.StreamResponse()
        if not chunked:
            response.content_length = 2**30
        await response.prepare(request.raw)
        try:
            while True:
                await response.write(bytes(2**16))
        except ConnectionError:
            ends.append("cut")
        return response

    service.answer = lambda request: answer(request) if request.said == "open" else []
    client = await gateway_client(await serve_webhook())
    await client.expect_close(*FAILED)
    await service.heard("open", "close")
    assert ends == ["cut"]


async def test_publication_that_the_broker_refuses(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """A publication that nobody gets is not lost in silence: the client is told to come later."""
    service.at("go", {"type": "publish", "group": "a", "text": "b"})
    served = await serve_webhook()
    client = await gateway_client(served)
    with served.broker_outage():
        await client.send("go")
        await client.expect_close(1013, "publishing is not possible now")
    assert served.errors == []
