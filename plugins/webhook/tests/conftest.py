"""A service that takes events, and gateways that send it theirs."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest_asyncio
from aiohttp import web

from gateway_webhook import Webhook

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gateway.testing import Served

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@dataclass
class Request:
    """What the service was sent."""

    headers: Mapping[str, str]
    body: bytes
    raw: web.Request = field(repr=False)
    event: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.event = json.loads(self.body)

    @property
    def said(self) -> str:
        """The type of the event, and the text of a message."""
        text = self.event.get("message", {}).get("text")
        return self.event["type"] if text is None else text


class Service:
    """A service on a free port.

    Attributes:
        requests: What it was sent, in order.
        answer: Gives the answer to a request; may be `async`. By default it asks for nothing.
    """

    secret = SECRET
    handler = Webhook

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Any] = lambda _: web.Response()
        self.url = ""
        self.peers: set[Any] = set()
        self._news = asyncio.Condition()

    @property
    def said(self) -> list[str]:
        """What was said in all requests."""
        return [request.said for request in self.requests]

    def at(self, said: str, *actions: dict[str, Any]) -> None:
        """Answer with actions where this is said."""
        self.answer = lambda request: list(actions) if request.said == said else []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Take an event."""
        self.peers.add(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]
        taken = Request(dict(request.headers), await request.read(), request)
        async with self._news:
            self.requests.append(taken)
            self._news.notify_all()
        answer = self.answer(taken)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer if isinstance(answer, web.StreamResponse) else web.json_response({"actions": answer})

    async def heard(self, *said: str) -> None:
        """Wait until it was told as much as this, and see that it was just this, in this order."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(lambda: len(self.requests) >= len(said))
        assert self.said == list(said)

    async def serve(self, tls: ssl.SSLContext | None = None) -> web.AppRunner:
        """Begin to serve; give what ends it."""
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/{tail:.*}", self.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{port}/events"
        return runner


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    """Serve a service until the test ends."""
    service = Service()
    runner = await service.serve()
    yield service
    await runner.cleanup()


@pytest_asyncio.fixture
async def serve_webhook(
    serve_gateway: Callable[..., Awaitable[Served]], service: Service
) -> Callable[..., Awaitable[Served]]:
    """Give a function that serves the handler with options, on `/webhook`; pauses between tries are short."""

    async def serve(route: Mapping[str, object] | None = None, **options: object) -> Served:
        given = {"url": service.url, "secrets": [SECRET], "backoff_seconds": 0.01} | options
        return await serve_gateway(Webhook, options=given, route=route)

    return serve
