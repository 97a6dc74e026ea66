"""The harness for signed tokens: tokens made by hand, openings over raw sockets, and a server for keys."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import ssl
import time
from base64 import urlsafe_b64encode
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from gateway import Handler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

PATIENCE_SECONDS = 30

CURVES = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1, "K-256": ec.SECP256K1}
IDENTITY = ("user", "groups", "proved_by", "token_id", "expires_at", "issued_at")
EDWARDS = {"Ed25519": ed25519.Ed25519PrivateKey, "Ed448": ed448.Ed448PrivateKey}


@cache
def _key(kind: str, name: str) -> Any:
    del name
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind in EDWARDS:
        return EDWARDS[kind].generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))


@pytest.fixture
def key() -> Callable[..., Any]:
    """Give a function that makes private keys: of one kind and name, the same one in all tests."""

    def key(kind: str = "RSA-2048", name: str = "") -> Any:
        return _key(kind, name)

    return key


@pytest.fixture
def pem() -> Callable[[Any], str]:
    """Give a function that writes the public key of a private one in PEM form."""

    def pem(private: Any) -> str:
        return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    return pem


@pytest.fixture
def jwk() -> Callable[..., dict[str, Any]]:
    """Give a function that writes the public key of a private one as a JWK, with further members."""

    def jwk(private: Any, **members: Any) -> dict[str, Any]:
        public = private.public_key()
        name = type(public).__name__
        kind = (
            RSAAlgorithm if "RSA" in name else ECAlgorithm if "Ell" in name or "EC" in name else OKPAlgorithm
        )
        return {**kind.to_jwk(public, as_dict=True), **members}

    return jwk


def _part(data: Any) -> bytes:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return urlsafe_b64encode(raw).rstrip(b"=")


@pytest.fixture
def mint() -> Callable[..., str]:
    """Give a function that makes a JWT by hand, good or not.

    Keyword arguments replace claims, and None leaves a claim out; `header` replaces members of the header.
    A header or payload given as bytes is taken as it is. A key given as bytes is a secret, of any length.
    """

    def mint(
        private: Any,
        alg: str = "RS256",
        *,
        header: dict[str, Any] | bytes | None = None,
        payload: bytes | None = None,
        **claims: Any,
    ) -> str:
        now = int(time.time())
        usual = {"iss": "https://issuer.test", "aud": "gateway", "sub": "ann", "exp": now + 300, "iat": now}
        body = payload or {name: value for name, value in (usual | claims).items() if value is not None}
        head = header if isinstance(header, bytes) else {"alg": alg, "typ": "JWT", **(header or {})}
        signed = _part(head) + b"." + _part(body)
        if isinstance(private, bytes):
            signature = hmac.digest(private, signed, getattr(hashlib, f"sha{alg[2:]}"))
        else:
            signature = get_default_algorithms()[alg].sign(signed, private)
        return (signed + b"." + _part(signature)).decode()

    return mint


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of the tests."""
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate in a file."""
    file: Path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """`listen.tls` of a gateway on localhost."""
    folder: Path = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(folder / "certificate.pem", append=True)
    return {"certificate": str(folder / "certificate.pem"), "key": str(folder / "key.pem")}


@pytest.fixture
def knock(authority: trustme.CA) -> Callable[..., Awaitable[bytes]]:
    """Give a function that sends an opening handshake over a raw socket, and gives the answer's bytes."""
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def knock(server: Served, token: str | None = None, *lines: str, target: str = "/who") -> bytes:
        tls = {"ssl": trusting, "server_hostname": "localhost"} if server.secure else {}
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, **tls)
        head = [
            f"GET {target} HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            *([] if token is None else [f"Authorization: Bearer {token}"]),
            *lines,
            "",
            "",
        ]
        writer.write("\r\n".join(head).encode("latin-1"))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answer = await reader.readuntil(b"\r\n\r\n")
                return answer if answer.startswith(b"HTTP/1.1 101 ") else answer + await reader.read()
        finally:
            writer.transport.abort()
            with suppress(ConnectionError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await writer.wait_closed()

    return knock


ISSUER = "https://issuer.test"


class Who(Handler):
    """A handler that says who connected."""

    def on_open(self, connection: Any) -> None:
        """Send the identity and the groups."""
        identity = connection.identity
        said = {name: getattr(identity, name) for name in IDENTITY} | {"claims": dict(identity.claims)}
        connection.send_json(said | {"joined": connection.groups})


@pytest.fixture
def issuer() -> Callable[..., dict[str, Any]]:
    """Give a function that writes an issuer's settings: its keys, and what else differs."""

    def issuer(*keys: dict[str, Any], **more: Any) -> dict[str, Any]:
        usual = {"issuer": ISSUER, "audience": "gateway", "algorithms": ["RS256"], "keys": keys}
        return usual | more

    return issuer


@pytest.fixture
def published(issuer) -> Callable[..., dict[str, Any]]:
    """Give a function that writes the settings of an issuer that publishes its keys on a server."""

    def published(server: Any, **jwks: Any) -> dict[str, Any]:
        return issuer(jwks={"url": server.url, "allow_http_on_loopback": True, **jwks})

    return published


@pytest.fixture
def fetches() -> Callable[..., list[dict[str, Any]]]:
    """Give a function that lists the fetches that a gateway has logged."""

    def fetches(server: Any, event: str) -> list[dict[str, Any]]:
        return [line for line in server.log if line["event"] == event]

    return fetches


@pytest.fixture
def serve_who(serve_gateway: Callable[..., Awaitable[Served]]) -> Callable[..., Awaitable[Served]]:
    """Give a function that serves the route `/who`, which says who connected.

    Its arguments are the settings of ways, more keys of the route and of the listener, and the environment.
    """

    def serve_who(
        *,
        route: dict[str, Any] | None = None,
        listen: dict[str, Any] | None = None,
        environ: dict[str, str] | None = None,
        **ways: Any,
    ) -> Awaitable[Served]:
        usual = {
            "path": "/who",
            "allow_missing_origin": True,
            "authenticate": list(ways),
            "handlers": ["who"],
        }
        configuration = {
            "listen": {"drain_seconds": 0, **(listen or {})},
            "authentication": ways,
            "routes": [usual | (route or {})],
        }
        return serve_gateway(json.dumps(configuration), handlers={"who": Who}, environ=environ)

    return serve_who


class KeyServer:
    """A server on which an issuer of the test publishes its keys, well or not.

    Args:
        tls: Its TLS; `None` for plain HTTP.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.sent = 0
        self.behave: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
        """What comes in place of an answer."""
        self.answer = b""
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The URL of the key set."""
        return f"{'http' if self._tls is None else 'https'}://localhost:{self.port}/keys"

    async def start(self) -> None:
        """Serve, at the second time on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Serve no more: connections are refused, and what is under way is cut."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def publish(self, *keys: dict[str, Any]) -> None:
        """Answer with a key set from now on."""
        self.reply(json.dumps({"keys": keys}).encode())

    def reply(self, body: bytes, status: str = "200 OK", *lines: str) -> None:
        """Answer with a body from now on."""
        self.behave = None
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""]
        self.answer = "\r\n".join(head).encode() + body

    async def write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Send bytes, and count those that the peer took."""
        writer.write(data)
        await writer.drain()
        self.sent += len(data)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                if self.behave is not None:
                    await self.behave(writer)
                else:
                    await self.write(writer, self.answer)
        finally:
            self._tasks.discard(task)
            writer.close()


@pytest_asyncio.fixture
async def key_servers(certificate: dict[str, str]) -> AsyncIterator[Callable[..., Awaitable[KeyServer]]]:
    """Give a function that starts a server for keys, plain or with TLS."""
    servers: list[KeyServer] = []

    async def start(*, tls: bool = False) -> KeyServer:
        context = None
        if tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate["certificate"], certificate["key"])
        server = KeyServer(context)
        servers.append(server)
        await server.start()
        return server

    yield start
    for server in servers:
        await server.stop()
