"""Tests of what the way `forward` costs: the cache, the single flight, and the bounds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway import Credential, Opening, OpeningRequest
from gateway.auth.forward import ForwardAuthenticator
from gateway.config.models import ForwardWayConfig
from gateway.protocol.head import parse_head


async def test_an_identity_is_kept_for_the_same_question(
    start: Any, service: Any, said: Any, token: str
) -> None:
    """Equal questions are asked once; another credential, path, query that counts, or device is another."""
    server = await start(extra_headers=["x-device"], forward_query=True, cache_seconds=60)
    for _ in range(3):
        await said(server)
    assert len(service.heads) == 1
    await said(server, token="tok-other")
    await said(server, "/who/a")
    await said(server, "/who/b")
    await said(server, "/who?x")
    await said(server, additional_headers={"Authorization": f"Bearer {token}", "X-Device": "7"})
    assert len(service.heads) == 6
    (way,) = [way for name, way in server.gateway._ways.items() if name == "forward"]
    assert len(way._recent) == 6
    assert token not in repr(vars(way._recent))


async def test_parts_of_a_question_cannot_be_moved(start: Any, service: Any, said: Any) -> None:
    """Two headers whose values only look alike when put together are two questions."""
    server = await start(headers=["x-a", "x-b"])
    await said(server, additional_headers={"X-A": "1x-b2", "X-B": "3"})
    await said(server, additional_headers={"X-A": "1", "X-B": "2x-b3"})
    assert len(service.heads) == 2


async def test_an_identity_is_not_kept_for_longer(start: Any, service: Any, said: Any) -> None:
    """After `cache_seconds`, and with 0 at once, the service is asked again."""
    server = await start(cache_seconds=0)
    await said(server)
    await said(server)
    assert len(service.heads) == 2
    server = await start(cache_seconds=0.05)
    while len(service.heads) < 4:
        await said(server)


async def test_an_identity_that_ends_while_it_is_kept(
    start: Any, service: Any, monkeypatch: pytest.MonkeyPatch, said: Any, refused: Any
) -> None:
    """A kept identity lets nobody in after its own end."""
    service.answer = lambda _: service.identity(expires_in_seconds=30)
    server = await start(cache_seconds=60)
    await said(server)
    later = time.time() + 31
    monkeypatch.setattr(time, "time", lambda: later)
    assert await refused(server, 401, "unauthorized") == "the service's identity has ended"
    assert len(service.heads) == 1


async def test_equal_questions_under_way_are_one(start: Any, service: Any, said: Any, until: Any) -> None:
    """Clients that come while the service thinks share its answer; one that leaves takes nothing with it."""
    release = asyncio.Event()

    async def think(_: str) -> bytes:
        await release.wait()
        return service.identity()

    service.answer = think
    server = await start(cache_seconds=0)
    first = asyncio.ensure_future(said(server))
    await until(lambda: service.heads)
    others = [asyncio.ensure_future(said(server)) for _ in range(9)]
    (way,) = [way for name, way in server.gateway._ways.items() if name == "forward"]
    (task,) = way._asking.values()
    await until(lambda: len(task._callbacks or ()) >= 10)
    first.cancel()
    await asyncio.wait([first])
    release.set()
    assert [answer[0] for answer in await asyncio.gather(*others)] == ["ann"] * 9
    assert len(service.heads) == 1
    assert way._asking == {}


async def test_a_shared_refusal(start: Any, service: Any, refused: Any, until: Any) -> None:
    """Those who share a question share its refusal too."""
    release = asyncio.Event()

    async def think(_: str) -> bytes:
        await release.wait()
        return service.reply(403)

    service.answer = think
    server = await start()
    waiting = [asyncio.ensure_future(refused(server, 403, "forbidden")) for _ in range(5)]
    await until(lambda: service.heads)
    (way,) = [way for name, way in server.gateway._ways.items() if name == "forward"]
    (task,) = way._asking.values()
    await until(lambda: len(task._callbacks or ()) >= 6)
    release.set()
    await asyncio.gather(*waiting)
    assert len(service.heads) == 1


async def test_waiting_is_bounded(start: Any, service: Any, said: Any, refused: Any, until: Any) -> None:
    """At `max_connections` questions wait for their turn, and above `max_waiting` the answer is 503."""
    release = asyncio.Event()

    async def think(_: str) -> bytes:
        await release.wait()
        return service.identity()

    service.answer = think
    server = await start(max_connections=2, max_waiting=3)
    (way,) = [way for name, way in server.gateway._ways.items() if name == "forward"]
    waiting = [asyncio.ensure_future(said(server, token=f"tok-{number}")) for number in range(5)]
    await until(lambda: way._service._under_way == 5)
    assert await refused(server, 503, "auth_unavailable") == "5 questions wait for the service"
    assert server.node.metrics.limits == {"max_waiting": 1}
    release.set()
    await asyncio.gather(*waiting)
    assert (service.busiest, len(service.heads)) == (2, 5)
    assert way._service._under_way == 0


async def test_tcp_connections_are_used_again(start: Any, service: Any, said: Any, until: Any) -> None:
    """Questions leave their connections for later ones, but for what the service has ended."""
    release = asyncio.Event()

    async def think(_: str) -> bytes:
        await release.wait()
        return bytes(service.identity())

    service.answer = think
    server = await start(cache_seconds=0)
    waiting = [asyncio.ensure_future(said(server, token=f"tok-{number}")) for number in range(4)]
    await until(lambda: len(service.heads) == 4)
    release.set()
    await asyncio.gather(*waiting)
    for number in range(6):
        await said(server, token=f"tok-{number}")
    assert (len(service.heads), service.connections) == (10, 4)
    (way,) = [way for name, way in server.gateway._ways.items() if name == "forward"]
    assert len(way._service._idle) == 4
    service.hangs_up = True
    for number in range(6):
        await said(server, token=f"tok-{number}")
        await until(lambda: not way._service._idle or way._service._idle[-1].has_expired())
    assert len(way._service._idle) <= 4
    assert service.connections == 4 + 2


async def test_a_stop_ends_questions_under_way(service: Any, until: Any, token: str) -> None:
    """A way that stops leaves no task behind."""
    service.answer = lambda _: asyncio.Event().wait()
    way = ForwardAuthenticator(ForwardWayConfig(url=f"http://127.0.0.1:{service.port}/"))
    way.on_start(None)  # type: ignore[arg-type]
    head = parse_head(b"GET /x HTTP/1.1\r\nHost: h", max_lines=9)
    credential = Credential(token, "subprotocol")
    opening = Opening(OpeningRequest(head, "/x"), "r", {}, "::1", None, credential=credential)
    asked = asyncio.ensure_future(way.authenticate(opening))
    await until(lambda: service.heads)
    await way.on_stop()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert way._asking == {}
