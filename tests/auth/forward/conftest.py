"""An auth service that answers as it is told, and a gateway that asks it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from websockets.exceptions import InvalidStatus

from gateway import Handler

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from gateway.testing import Served

TOKEN = "tok-" + "marker-0123456789"
PATIENCE_SECONDS = 30


class Who(Handler):
    """A handler that says who connected."""

    def on_open(self, connection: Any) -> None:
        """Send the identity and the groups."""
        identity = connection.identity
        connection.send_json([identity.user, dict(identity.claims), identity.proved_by, connection.groups])


class AuthServer:
    """A service for the way `forward`, over raw TCP: it answers as it is told, well or badly.

    Attributes:
        heads: Of the requests that it saw.
        connections: How many TCP connections it took.
        busiest: How many requests it had at once, at most.
        answer: Gives the response to a head.
        hangs_up: Whether TCP ends behind an answer.
    """

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0
        self.busiest = 0
        self.answer: Callable[[str], bytes | Awaitable[bytes]] = lambda _: self.identity()
        self.hangs_up = False
        self._busy = 0

    @staticmethod
    def reply(status: int, body: bytes = b"", *lines: str) -> bytes:
        """Write a response."""
        head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *lines, "", ""]
        return "\r\n".join(head).encode() + body

    @classmethod
    def identity(cls, **fields: Any) -> bytes:
        """Write a response that says who it is: ann, unless told otherwise."""
        return cls.reply(200, json.dumps({"user": "ann"} | fields).encode(), "Content-Type: application/json")

    @property
    def fields(self) -> list[dict[str, str]]:
        """The header fields of each request, by lower-case name."""
        return [
            {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            for lines in (head.split("\r\n")[1:] for head in self.heads)
        ]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one TCP connection."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").removesuffix("\r\n\r\n")
                self.heads.append(head)
                self._busy += 1
                self.busiest = max(self.busiest, self._busy)
                try:
                    answer = self.answer(head)
                    answer = answer if isinstance(answer, bytes) else await answer
                finally:
                    self._busy -= 1
                writer.write(answer)
                await writer.drain()
                if self.hangs_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def _serving(tls: ssl.SSLContext | None) -> AsyncIterator[AuthServer]:
    service = AuthServer()
    tasks: set[asyncio.Task[Any]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(service.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    service.port = server.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest_asyncio.fixture
async def auth_server() -> AsyncIterator[Callable[..., Awaitable[AuthServer]]]:
    """A function that runs an auth service until the test ends, over TLS if it is given a context."""
    async with AsyncExitStack() as stack:

        async def start(tls: ssl.SSLContext | None = None) -> AuthServer:
            return await stack.enter_async_context(_serving(tls))

        yield start


@pytest.fixture
async def service(auth_server: Callable[..., Awaitable[AuthServer]]) -> AuthServer:
    """The service that the gateway asks."""
    return await auth_server()


@pytest.fixture
def start(
    service: AuthServer, serve_gateway: Callable[..., Awaitable[Served]]
) -> Callable[..., Awaitable[Served]]:
    """A function that serves a gateway which asks the service, with more settings of the way."""

    async def start(*, route: str = "", ways: str = "forward", **settings: Any) -> Served:
        way = {"url": f"http://127.0.0.1:{service.port}/auth", **settings}
        token = {"keys": [{"name": "b", "user": "bob", "token": TOKEN}]}
        usual = "" if "allowed_origins" in route else ", allow_missing_origin: true"
        return await serve_gateway(
            f"authentication: {json.dumps({'forward': way, 'token': token})}\n"
            "routes:\n"
            f"  - {{path: /who, authenticate: [{ways}], handlers: [who]{usual}{route}}}\n"
            f"  - {{path: '/who/{{a}}', authenticate: [{ways}], handlers: [who]{usual}{route}}}\n",
            handlers={"who": Who},
        )

    return start


@pytest.fixture
def token() -> str:
    """The credential that must never be seen."""
    return TOKEN


@pytest.fixture
def refused() -> Callable[..., Awaitable[str]]:
    """A function that opens a connection which is refused, exactly so; it gives the detail in the log."""

    async def refused(server: Served, status: int, error: str, **options: Any) -> str:
        options.setdefault("additional_headers", {"Authorization": f"Bearer {TOKEN}"})
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/who", **options)
        response = caught.value.response
        assert response.status_code == status
        assert json.loads(response.body or b"")["error"] == error
        if status == 503:
            assert response.headers["Retry-After"] == "5"
        if status == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        line = [line for line in server.log if line["event"] == "opening_refused"][-1]
        assert (line["status"], line["error"]) == (status, error)
        assert TOKEN not in server.stream.getvalue()
        assert TOKEN not in str(response.body)
        return str(line["detail"])

    return refused


@pytest.fixture
def said() -> Callable[..., Awaitable[Any]]:
    """A function that opens a connection which is let in; it gives what the handler says."""

    async def said(server: Served, path: str = "/who", token: str = TOKEN, **options: Any) -> Any:
        options.setdefault("additional_headers", {"Authorization": f"Bearer {token}"})
        async with server.connect(path, **options) as client:
            answer = json.loads(await client.recv())
        assert TOKEN not in server.stream.getvalue()
        return answer

    return said
