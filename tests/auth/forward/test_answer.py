"""Tests of what the way `forward` makes of its service's answers, and of none."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from typing import TYPE_CHECKING, Any

import pytest
import trustme

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


async def test_an_identity(start: Any, service: Any, said: Any) -> None:
    """User, claims and groups become the connection's."""
    service.answer = lambda _: service.identity(
        user="ann", claims={"role": ["admin"]}, groups=["staff", "staff", "$everyone"]
    )
    server = await start(route=", groups: ['to:{user}']")
    assert await said(server) == ["ann", {"role": ["admin"]}, "forward", ["to:ann", "staff"]]


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, None),
        ({"expires_in_seconds": 90}, 90),
        ({"expires_at": 4e9}, None),
        ({"expires_in_seconds": 30.5}, 30.5),
    ],
)
async def test_the_end_of_an_identity(
    start: Any, service: Any, fields: dict[str, float], lifetime: float | None, token: str
) -> None:
    """The identity ends when the service says, as a moment or from now on."""
    service.answer = lambda _: service.identity(token_id="t-7", **fields)
    server = await start()
    before = time.time()
    async with server.connect("/who", additional_headers={"Authorization": token}) as client:
        await client.recv()
        (connection,) = server.node.connections()
        identity = connection.identity
    if lifetime is None:
        assert identity.expires_at == fields.get("expires_at")
    else:
        assert before + lifetime <= identity.expires_at <= time.time() + lifetime
    assert identity.token_id == "t-7"
    assert before <= identity.issued_at <= time.time()


@pytest.mark.parametrize(("status", "error"), [(401, "unauthorized"), (403, "forbidden")])
async def test_a_refusal(
    start: Any, service: Any, status: int, error: str, said: Any, refused: Any, token: str
) -> None:
    """401 and 403 are passed on, without the service's body, and are not kept."""
    service.answer = lambda _: service.reply(status, token.encode())
    server = await start()
    assert await refused(server, status, error) == f"the service answered {status}"
    service.answer = lambda _: service.identity()
    assert (await said(server))[0] == "ann"
    assert (len(service.heads), service.connections) == (2, 1)


@pytest.mark.parametrize("end", [{"expires_at": 1e9}, {"expires_in_seconds": 0}])
async def test_an_identity_that_has_ended(
    start: Any, service: Any, end: dict[str, float], refused: Any
) -> None:
    """An identity that is over already lets nobody in."""
    service.answer = lambda _: service.identity(**end)
    assert await refused(await start(), 401, "unauthorized") == "the service's identity has ended"


@pytest.mark.parametrize("status", [200, 201, 299])
async def test_any_2xx_is_an_answer(start: Any, service: Any, status: int, said: Any) -> None:
    """All of 2xx says yes."""
    service.answer = lambda _: service.reply(status, b'{"user": "bob"}')
    assert (await said(await start()))[0] == "bob"


async def test_any_other_status_fails_closed(
    start: Any, service: Any, refused: Any, subtests: pytest.Subtests
) -> None:
    """Whatever else the service answers is 503 for the client; redirects are not followed."""
    server = await start()
    for number, status in enumerate((204, 300, 302, 304, 307, 400, 402, 404, 407, 429, 500, 503), start=1):
        with subtests.test(status=status):
            body = b"" if status in {204, 304} else b'{"user": "ann"}'
            location = f"Location: http://127.0.0.1:{service.port}/elsewhere"
            answer = service.reply(status, body, location)
            service.answer = lambda _, answer=answer: answer
            detail = await refused(server, 503, "auth_unavailable")
            assert detail in {f"the service answered {status}", "the service's answer is no identity"}
            assert len(service.heads) == number


NO_IDENTITIES = (
    b"",
    b"yes",
    b"\xff\xfe",
    b"null",
    b'["ann"]',
    b"{}",
    b'{"user": ""}',
    b'{"user": 7}',
    b'{"user": null}',
    b'{"user": "a\\u0000b"}',
    b'{"user": "a\\ud800"}',
    b'{"user": "ann", "claims": []}',
    b'{"user": "ann", "claims": {"n": NaN}}',
    b'{"user": "ann", "groups": "staff"}',
    b'{"user": "ann", "groups": [1]}',
    b'{"user": "ann", "groups": [""]}',
    b'{"user": "ann", "expires_at": "2030-01-01"}',
    b'{"user": "ann", "expires_at": true}',
    b'{"user": "ann", "expires_at": Infinity}',
    b'{"user": "ann", "expires_at": 1' + b"0" * 400 + b"}",
    b'{"user": "ann", "expires_in_seconds": -1}',
    b'{"user": "ann", "expires_at": 4000000000, "expires_in_seconds": 9}',
    b'{"user": "ann", "exipres_at": 1}',
    b'{"user": "ann"} trailing',
    b'{"user": "ann", "claims": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
)


async def test_a_body_that_is_no_identity_fails_closed(
    start: Any, service: Any, refused: Any, subtests: pytest.Subtests
) -> None:
    """Only a sound identity lets anyone in."""
    server = await start()
    for body in NO_IDENTITIES:
        with subtests.test(body=body):
            service.answer = lambda _, body=body: service.reply(200, body)
            detail = await refused(server, 503, "auth_unavailable")
            assert detail == "the service's answer is no identity"


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_huge_body_fails_closed(
    start: Any, service: Any, chunked: bool, said: Any, refused: Any
) -> None:
    """No more than `max_bytes` are read, whether the length is told before or not."""
    body = b'{"user": "ann", "claims": {"x": "' + b"x" * 2000 + b'"}}'
    exact = await start(max_bytes=len(body))
    lower = await start(max_bytes=len(body) - 1)
    answer = service.reply(200, body)
    if chunked:
        parts = (body[start : start + 500] for start in range(0, len(body), 500))
        written = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + written + b"0\r\n\r\n"
    service.answer = lambda _: answer
    assert (await said(exact))[0] == "ann"
    detail = await refused(lower, 503, "auth_unavailable")
    assert detail == "the service's answer is too long, or encoded"


async def test_a_compressed_body_fails_closed(start: Any, service: Any, refused: Any) -> None:
    """What would have to be inflated is no answer: it was not asked for."""
    server = await start()
    for body in (gzip.compress(b'{"user": "ann"}'), b'{"user": "ann"}'):
        service.answer = lambda _, body=body: service.reply(200, body, "Content-Encoding: gzip")
        detail = await refused(server, 503, "auth_unavailable")
        assert detail == "the service's answer is too long, or encoded"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["nothing", "cut", "another protocol", "huge header", "bad length"],
)
async def test_what_is_no_http_answer_fails_closed(
    start: Any, service: Any, answer: bytes, refused: Any, until: Any
) -> None:
    """A service that hangs up or talks nonsense lets nobody in."""
    service.answer = lambda _: answer
    service.hangs_up = True
    server = await start()
    assert (await refused(server, 503, "auth_unavailable")).startswith("service: ")
    assert len(service.heads) == 1


async def test_a_service_that_is_down(start: Any, service: Any, refused: Any) -> None:
    """Nobody listening is 503."""
    server = await start(url="http://127.0.0.1:1/")
    assert await refused(server, 503, "auth_unavailable") == "service: ConnectError"


async def test_a_slow_service_is_cut_at_the_deadline(start: Any, service: Any, refused: Any) -> None:
    """Silence, and a body that does not end, are cut at `timeout_seconds`."""
    silent: asyncio.Future[bytes] = asyncio.Future()
    service.answer = lambda _: silent
    server = await start(timeout_seconds=0.2)
    begun = time.monotonic()
    assert await refused(server, 503, "auth_unavailable") == "no answer of the service within 0.2 s"
    assert time.monotonic() - begun >= 0.2
    service.answer = lambda _: b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"user":'
    assert await refused(server, 503, "auth_unavailable") == "no answer of the service within 0.2 s"
    service.answer = lambda _: service.identity()
    silent.cancel()


@pytest.fixture
async def secure(auth_server: Callable[..., Awaitable[Any]], tmp_path: Path) -> tuple[Any, str]:
    """A service with a certificate of a private authority, and the file of that authority."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return await auth_server(context), str(file)


async def test_its_certificate_is_verified(
    secure: tuple[Any, str], start: Any, said: Any, refused: Any
) -> None:
    """A certificate of the named authority is good, one of an unknown authority is not."""
    service, file = secure
    url = f"HTTPS://localhost:{service.port}/auth"
    server = await start(url=url, server_ca=file)
    assert [(await said(server, token=token))[0] for token in ("tok-1", "tok-2")] == ["ann", "ann"]
    assert (len(service.heads), service.connections) == (2, 1)
    detail = await refused(await start(url=url), 503, "auth_unavailable")
    assert detail == "service: ConnectError"
    assert len(service.heads) == 2


async def test_a_tls_handshake_that_hangs(secure: tuple[Any, str], start: Any, refused: Any) -> None:
    """A service that takes TCP and then says nothing is cut in time, and its socket is closed."""
    closed = asyncio.Event()

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        closed.set()
        writer.close()

    listener = await asyncio.start_server(silence, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    server = await start(url=f"https://localhost:{port}/auth", server_ca=secure[1], timeout_seconds=0.4)
    try:
        assert await refused(server, 503, "auth_unavailable") == "service: ConnectTimeout"
        async with asyncio.timeout(10):
            await closed.wait()
    finally:
        listener.close()
