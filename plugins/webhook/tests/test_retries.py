"""What becomes of events, clients and others while the service is slow, down, or comes and goes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Client, Served

    Serve = Callable[..., Awaitable[Served]]
    Connect = Callable[..., Awaitable[Client]]

UNAVAILABLE = (1013, "the service is not available")
BUSY = (1013, "the service is busy")

# A route with a dead or held service, and one beside it that has nothing to do with it.
BOTH = """
routes:
  - path: /webhook
    allow_missing_origin: true
    limits: {{receive_backlog: 4}}
    handlers:
      - name: webhook
        options: {{url: "{url}", secrets: ["{secret}"], max_connections: 2, max_waiting: 30}}
  - path: /witness
    allow_missing_origin: true
    handlers: [echo]
"""

# A route to a service that is held, or is not. The bounds are a hundredth of the defaults.
SHARED = """
  - path: /{name}
    allow_missing_origin: true
    handlers:
      - name: webhook
        options: {{url: "{url}/{name}", secrets: ["{secret}"], max_waiting: 5}}
"""


def failures(served: Served) -> list[dict[str, Any]]:
    """Give what the log says of events that did not get through."""
    return [line for line in served.log if line["event"] == "webhook_failed"]


class Gate:
    """What a service's answers wait for.

    Attributes:
        held: The texts that wait for it.
    """

    def __init__(self, *, holds: Callable[[Any], bool] = lambda _: True) -> None:
        self.opened = asyncio.Event()
        self.held: list[str] = []
        self._holds = holds

    async def answer(self, request: Any) -> list[dict[str, Any]]:
        """Wait, and send back what was said."""
        if self._holds(request):
            self.held.append(request.said)
            await self.opened.wait()
        return [{"type": "send", "text": request.said}]


async def test_flapping_service_is_asked_again(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """Statuses that may pass, and connections that break, cost tries with the same id, and no order."""
    troubles = iter([503, 500, 429, 408, 425, 502, None])

    def answer(request: Any) -> Any:
        trouble = next(troubles, 200) if request.said == "first" else 200
        if trouble is None:
            request.raw.transport.abort()
        return (
            [{"type": "send", "text": request.said}] if trouble == 200 else web.Response(status=trouble or 1)
        )

    service.answer = answer
    served = await serve_webhook(max_backoff_seconds=0.02)
    client = await gateway_client(served)
    for said in ("first", "second"):
        await client.send(said)
    assert [await client.receive() for _ in range(3)] == ["open", "first", "second"]
    assert service.said == ["open", *["first"] * 8, "second"]
    assert len({request.headers["webhook-id"] for request in service.requests[1:9]}) == 1
    assert len({request.body for request in service.requests[1:9]}) == 1
    assert len({request.headers["webhook-id"] for request in service.requests}) == 3
    assert failures(served) == []


async def test_pause_holds_up_nobody_else(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """An event that pauses between its tries leaves its place to others, though there is but one."""

    def answer(request: Any) -> Any:
        waits = request.said == "first" and "second" not in service.said
        return web.Response(status=503) if waits else [{"type": "send", "text": request.said}]

    service.answer = answer
    served = await serve_webhook(max_connections=1, max_tries=100, max_backoff_seconds=0.02)
    clients = [await gateway_client(served) for _ in range(2)]
    await clients[0].send("first")
    await clients[1].send("second")
    assert [await clients[1].receive() for _ in range(2)] == ["open", "second"]
    assert [await clients[0].receive() for _ in range(2)] == ["open", "first"]


async def test_tries_run_out(serve_webhook: Serve, gateway_client: Connect, service: Any) -> None:
    """After the last try the client is sent away; of what it had sent nothing is told, but its end is."""
    down = {"lost"}
    service.answer = lambda request: web.Response(status=503, text="SECRET") if request.said in down else []
    served = await serve_webhook(max_tries=3)
    client = await gateway_client(served)
    for said in ("lost", "after", "after that"):
        await client.send(said)
    await client.expect_close(*UNAVAILABLE)
    await service.heard("open", "lost", "lost", "lost", "close")
    assert [request.event["number"] for request in service.requests] == [0, 1, 1, 1, 2]
    (line,) = failures(served)
    assert line["error"] == "no answer after 3 tries: answered 503"
    assert not any(word in served.stream.getvalue() for word in ("SECRET", "lost", service.secret))


async def test_client_that_has_gone_is_told_of_in_order(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """What a client sent before it was gone is told in order, then its end; after a loss only that."""
    gate = Gate(holds=lambda request: request.said == "first")
    service.answer = gate.answer
    served = await serve_webhook(max_tries=1)
    for last in ("second", "lost"):
        service.requests.clear()
        gate.opened.clear()
        client = await gateway_client(served)
        for said in ("first", last, "third"):
            await client.send(said)
        await client.arrive()
        client.drop()
        if last == "lost":
            service.answer = lambda request: web.Response(status=400) if request.said == "lost" else []
        gate.opened.set()
        await service.heard("open", "first", last, *(["third"] if last == "second" else []), "close")


async def test_retry_after_is_heeded(serve_webhook: Serve, gateway_client: Connect, service: Any) -> None:
    """A service that wants more time than there is, is not asked again, and the client not kept waiting."""
    service.answer = lambda _: web.Response(status=503, headers={"Retry-After": "60"})
    served = await serve_webhook(events=["open"])
    await (await gateway_client(served)).expect_close(*UNAVAILABLE)
    await service.heard("open")


async def test_deadline_holds_over_all_tries(
    serve_webhook: Serve, gateway_client: Connect, service: Any
) -> None:
    """A service that takes requests and never answers: each try has its end, and so has the event."""
    gate = Gate()
    service.answer = gate.answer
    served = await serve_webhook(events=["open"], timeout_seconds=0.1, deadline_seconds=0.25)
    await (await gateway_client(served)).expect_close(*UNAVAILABLE)
    (line,) = failures(served)
    assert "no answer within 0.1 s" in line["error"]
    assert 2 <= len(service.requests) <= 3
    gate.opened.set()


async def test_dead_service_costs_its_own_connections(
    service: Any, serve_gateway: Serve, gateway_client: Connect
) -> None:
    """While nothing listens there, clients of other routes are served, and who waits is sent away in time."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    text = BOTH.format(url=url, secret=service.secret).replace("max_conn", "max_tries: 3, max_conn")
    served = await serve_gateway(text)
    clients = [await gateway_client(served, "/webhook") for _ in range(10)]
    witness = await gateway_client(served, "/witness")
    for number in range(50):
        assert await witness.ask(f"{number}") == f"{number}"
    for client in clients:
        await client.expect_close(*UNAVAILABLE)
    assert failures(served)[0]["error"] == "no answer after 3 tries: ConnectError"
    # The others failed in the same second.
    assert len(failures(served)) < 10
    assert served.errors == []


async def test_slow_service_slows_its_own_connections(
    service: Any, serve_gateway: Serve, gateway_client: Connect
) -> None:
    """While all requests are held: a client is not read on, others are, nothing is lost."""
    gate = Gate(holds=lambda request: request.said != "open")
    service.answer = gate.answer
    served = await serve_gateway(BOTH.format(url=service.url, secret=service.secret))
    clients = [await gateway_client(served, "/webhook") for _ in range(5)]
    witness = await gateway_client(served, "/witness")
    words = [f"{number} " + "x" * 60_000 for number in range(100)]
    flood = asyncio.gather(*(clients[0].send(word) for word in words))
    for client in clients[1:]:
        await client.send("hello")
    for number in range(100):
        assert await witness.ask(f"{number}") == f"{number}"
    assert len(gate.held) == 2
    assert not flood.done()
    gate.opened.set()
    await flood
    assert [await clients[0].receive() for _ in range(101)] == ["open", *words]
    for client in clients[1:]:
        assert [await client.receive() for _ in range(2)] == ["open", "hello"]
    assert len(service.peers) <= 2
    assert served.errors == []


@pytest.mark.parametrize("bound", [{"max_waiting": 3}, {"max_waiting_bytes": 1000}], ids=["events", "bytes"])
async def test_bound_on_all_that_wait(
    serve_webhook: Serve, gateway_client: Connect, service: Any, bound: dict[str, int]
) -> None:
    """Who comes when enough wait is sent away at once, and not tried; the others are served afterwards."""
    gate = Gate()
    service.answer = gate.answer
    served = await serve_webhook(events=["open"], max_connections=2, **bound)
    waiting = [await gateway_client(served) for _ in range(3)]
    await (await gateway_client(served)).expect_close(*BUSY)
    gate.opened.set()
    for client in waiting:
        assert await client.receive() == "open"
    assert await (await gateway_client(served)).receive() == "open"
    assert len(service.requests) == 4


async def test_certificate_is_verified(
    serve_webhook: Serve, gateway_client: Connect, service: Any, tmp_path: Path
) -> None:
    """A service with https gets events if its certificate is of the named authority, and else none."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    good, other = tmp_path / "good.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(good)
    trustme.CA().cert_pem.write_to_path(other)
    service.answer = lambda _: [{"type": "send", "text": "safe"}]
    runner = await service.serve(tls)
    try:
        trusting = await serve_webhook(url=service.url, server_ca=str(good), events=["open"])
        assert await (await gateway_client(trusting)).receive() == "safe"
        for authorities in (str(other), None):
            wary = await serve_webhook(url=service.url, server_ca=authorities, events=["open"], max_tries=1)
            await (await gateway_client(wary)).expect_close(*UNAVAILABLE)
        await service.heard("open")
    finally:
        await runner.cleanup()


async def test_dead_services_hold_up_no_other_service(
    service: Any, serve_gateway: Serve, gateway_client: Connect
) -> None:
    """While those of two routes hold all that the plugin may have under way, a third one answers at once."""
    gate = Gate(holds=lambda request: request.said != "open" and not request.raw.path.endswith("/c"))
    service.answer = gate.answer
    routes = "".join(SHARED.format(name=name, url=service.url, secret=service.secret) for name in "abc")
    limits = "plugins: {webhook: {limits: {max_events_under_way: 10}}}"
    served = await serve_gateway(f"{limits}\nroutes:{routes}")
    clients = [await gateway_client(served, path) for path in ("/a", "/b") for _ in range(5)]
    others = [await gateway_client(served, "/c") for _ in range(5)]
    for client in (*clients, *others):
        assert await client.receive() == "open"
    for client in clients:
        await client.send("held")
    async with asyncio.timeout(5):
        while len(gate.held) < len(clients):  # noqa: ASYNC110 - the service counts them
            await asyncio.sleep(0.002)
    for number in range(20):
        for client in others:
            await client.send(f"{number}")
        for client in others:
            assert await client.receive(within_seconds=2) == f"{number}"
    assert len(gate.held) == len(clients)
    gate.opened.set()
    for client in clients:
        assert await client.receive() == "held"
