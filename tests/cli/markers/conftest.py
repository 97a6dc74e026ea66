"""Markers for credentials, a client that shows them, and a gateway that repeats what it sees."""

from __future__ import annotations

import asyncio
import json
import re
import time
from base64 import b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

PATIENCE_SECONDS = 20
ON_PURPOSE = "shown-on-purpose-" + "0a1b2c3d"
SECRET = "mrk-secret-of-thirty-two-bytes-or-so"
KEY, OPS = "mrk-static-key-" + "77aa", "mrk-ops-token-" + "88bb"

PLUGIN = """
    import sanic
    import gateway

    seen = []

    class Renew(gateway.Handler):
        async def on_message(self, connection, message):
            if message.startswith("careless "):
                await connection.refresh(message.removeprefix("careless "))
            try:
                identity = await connection.refresh(message)
                connection.send("renewed " + identity.user)
            except gateway.Refused as refused:
                connection.send(f"{refused} {refused.refusal}")
            connection.publish_to_user(connection.identity.user, "renewed")

    class Breaks(gateway.Authenticator):
        async def authenticate(self, opening):
            token = opening.credential.value if opening.credential else None
            if token is not None:
                raise RuntimeError(f"cannot judge {opening!r} {opening.credential!r} {opening.request!r}")

    @gateway.hookimpl
    def gateway_handlers():
        return {"renew": Renew}

    @gateway.hookimpl
    def gateway_authenticators():
        return {"breaks": Breaks}

    @gateway.hookimpl
    def gateway_start(node):
        broker = node.broker
        for name in ("publish", "notify", "claim"):
            def wrapped(*arguments, name=name, call=getattr(broker, name)):
                seen.append(repr((name, arguments)))
                return call(*arguments)
            setattr(broker, name, wrapped)
        node.log.debug("on_purpose", value=ON_PURPOSE)
        node.publish("none", ON_PURPOSE)
        node.metrics.refusals[ON_PURPOSE] += 1

    @gateway.hookimpl
    def gateway_blueprints(node):
        blueprint = sanic.Blueprint("dump")

        @blueprint.get("/dump")
        async def dump(request):
            return sanic.response.json([repr(node.metrics), seen, [repr(one) for one in node.connections()]])

        return [blueprint]
""".replace("ON_PURPOSE", repr(ON_PURPOSE))

CONFIGURATION = """
    listen: {port: 0, drain_seconds: 0, opening_timeout_seconds: 2}
    log: {level: debug, format: FORMAT}
    plugins: {live: {enabled: false}}
    api:
      tokens: [{name: ops, token: "${OPS}"}]
      authenticate: [jwt, token]
      required_claims: {role: ops}
      max_body_bytes: 2000
    authentication:
      jwt:
        issuers:
          - {issuer: i, audience: a, algorithms: [HS256], keys: [{secret: "${SECRET}"}]}
          - issuer: published
            audience: a
            algorithms: [RS256]
            jwks: {url: "http://127.0.0.1:${PORT}/jwks", allow_http_on_loopback: true, timeout_seconds: 1}
      token: {keys: [{name: main, user: ann, token: "${KEY}"}]}
      cookie: {name: session, signed: {secrets: ["${SECRET}"], user_claim: user}}
      forward:
        url: "http://127.0.0.1:${PORT}/auth"
        headers: [authorization, cookie, x-api-key]
        forward_query: true
        timeout_seconds: 1
      ticket: {secret: "${SECRET}", authenticate: [jwt, token]}
    routes:
      - path: /all
        allow_missing_origin: true
        authenticate: [ticket, jwt, token]
        credentials_from: [header, subprotocol, "query:token"]
        subprotocols: [chat]
        groups: [all]
        handlers: [renew]
      - path: /cookie
        allowed_origins: ["https://app.test"]
        authenticate: [cookie, jwt, token]
        credentials_from: ["cookie:token"]
        handlers: [renew]
      - path: /forward
        allowed_origins: ["https://app.test"]
        authenticate: [forward]
        credentials_from: [header, subprotocol, "query:token"]
        subprotocols: [chat]
        handlers: [renew]
      - path: /breaks
        allow_missing_origin: true
        authenticate: [breaks, token]
        credentials_from: [header, subprotocol, "query:token"]
        handlers: [renew]
      - {path: /open, allow_missing_origin: true, handlers: [renew]}
"""


class Service:
    """An auth service and a key server in one: it repeats whatever it was asked, in bad answers too."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, by what the credential in it says."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            body, status, lines = head.encode(), 200, ""
            if "jwks" in head.partition("\r\n")[0] or "service-fails" in head:
                status = 500
            elif "service-drops" in head:
                return
            elif "service-refuses" in head:
                status = 401
            elif "service-redirects" in head:
                status, lines = 302, f"Location: http://127.0.0.1:1/?{quote(head)}\r\n"
            elif "service-good" in head:
                body = json.dumps({"user": "ann"}).encode()
            writer.write(f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class Markers:
    """Every credential that was made, with the forms in which it could be seen again."""

    def __init__(self) -> None:
        self._made = 0
        self.all: list[str] = [SECRET, KEY, OPS]

    def text(self, name: str = "") -> str:
        """Make a credential of no meaning."""
        self._made += 1
        return self.note(f"mrk-{self._made}-{name}-{self._made * 7919:08x}")

    def jwt(self, secret: str = SECRET, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Make a JWT; what stands in its header and claims is not to be seen either."""
        now = time.time()
        usual = {"iss": "i", "aud": "a", "sub": "ann", "exp": now + 300, "iat": now, "pad": self.text()}
        return self.note(jwt.encode(usual | claims, secret, "HS256", headers=header))

    def note(self, credential: str) -> str:
        """Note a credential."""
        self.all.append(credential)
        return credential

    def found(self, text: str) -> set[str]:
        """Give the credentials of which a text has anything."""
        return {credential for credential in self.all if any(form in text for form in forms(credential))}


def forms(credential: str) -> Iterable[str]:
    """Give the forms in which a credential could be seen: whole, in part, or in another writing."""
    yield credential
    yield quote(credential, safe="")
    yield credential[:24] if credential.startswith("mrk-") else credential[-24:]
    yield from (part for part in credential.split(".")[1:] if len(part) > 8)
    raw = credential.encode(errors="replace")
    for offset in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            # Whatever stands before it, the middle of a text looks one of three ways in base64.
            yield encode(b"x" * offset + raw)[4:-4].decode()


def whole(answer: bytes) -> bool:
    """Tell whether bytes are a whole answer, or more."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


class Peer:
    """The client's side: raw requests and real connections, and all that came back."""

    def __init__(self, port: int, markers: Markers) -> None:
        self.port = port
        self.markers = markers
        self.received: list[str] = []

    async def raw(self, *parts: str | bytes) -> str:
        """Send bytes, and read one answer, whole or as far as it comes; give its status line."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for part in parts:
                writer.write(part if isinstance(part, bytes) else part.encode())
            answer = b""
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not whole(answer) and (data := await reader.read(65536)):
                    answer += data
        except ConnectionError:
            answer = b"reset"
        finally:
            writer.transport.abort()
        self.received.append(answer.decode("latin-1"))
        return self.received[-1].partition("\r\n")[0]

    async def open(self, target: str, *lines: str, version: str = "1.1") -> str:
        """Send an opening handshake; give the status line."""
        usual = (
            f"GET {target} HTTP/{version}",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        )
        return await self.raw("\r\n".join((*usual, *lines, "", "")))

    async def post(self, path: str, *lines: str, body: str = "{}") -> str:
        """Call the API; give the status line."""
        usual = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body.encode())}")
        return await self.raw("\r\n".join((*usual, *lines, "", body)))

    async def renew(self, *tokens: str) -> None:
        """Open a connection with the key, and send tokens to its handler."""
        headers = {"Authorization": f"Bearer {KEY}"}
        url = f"ws://127.0.0.1:{self.port}/all"
        async with connect(url, additional_headers=headers, proxy=None) as client:
            assert client.response is not None
            self.received.append(str(client.response.headers))
            try:
                for token in tokens:
                    await client.send(token)
                    for _ in range(2):  # what became of it, and the publication
                        self.received.append(str(await asyncio.wait_for(client.recv(), PATIENCE_SECONDS)))
            except ConnectionClosed as closed:
                self.received.append(str(closed))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """The auth service and key server."""
    service = Service()
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    service.port = server.sockets[0].getsockname()[1]
    yield service
    server.close()


@pytest.fixture
def start(
    write: Callable[[str], Path],
    run: Callable[..., Awaitable[Any]],
    install: Callable[[str, str, str], None],
    service: Service,
) -> Callable[[str], Awaitable[tuple[Any, Peer]]]:
    """Give a function that starts `gateway run` with a form of the log, and gives it and its client."""

    async def start(form: str) -> tuple[Any, Peer]:
        install("dump-plugin", "dump", PLUGIN)
        write(CONFIGURATION.replace("FORMAT", form))
        environ = {"SECRET": SECRET, "KEY": KEY, "OPS": OPS, "PORT": str(service.port)}
        running = await run(environ=environ)
        await running.printed_lines(1)
        return running, Peer(running.port, Markers())

    return start
