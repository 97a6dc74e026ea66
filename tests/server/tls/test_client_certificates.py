"""Tests of clients' certificates: who gets in, what others are told, and that no session gets round it."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
PAST = datetime.now(UTC) - timedelta(days=1)

both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])


@pytest.fixture
def clients(tmp_path: Path, issue: Callable, authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """Give a function that makes a client's TLS, with a certificate's file; those of `ca.pem` are good."""
    ours = trustme.CA()
    ours.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue("a.pem", "a.test")
    issue("good.pem", "ada@example.com", by=ours, common_name="ada")
    issue("foreign.pem", "ada@example.com", by=trustme.CA())
    issue("ended.pem", "ada@example.com", by=ours, not_after=PAST)
    only_servers(tmp_path / "good.pem", tmp_path / "server.pem", ours)

    def clients(version: ssl.TLSVersion, file: str | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        context.minimum_version = context.maximum_version = version
        if file is not None:
            context.load_cert_chain(tmp_path / file)
        return context

    return clients


def only_servers(like: Path, file: Path, authority: trustme.CA) -> None:
    """Write a certificate for the same key that is for servers only."""
    pem = like.read_bytes()
    old = x509.load_pem_x509_certificate(pem)
    issuer = load_pem_private_key(authority.private_key_pem.bytes(), None)
    made: Any = x509.CertificateBuilder(
        old.issuer, old.subject, old.public_key(), 7, old.not_valid_before_utc, old.not_valid_after_utc
    ).add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=True)
    certificate = made.sign(issuer, SHA256())
    start = pem.index(b"-----BEGIN CERT")
    file.write_bytes(pem[:start] + certificate.public_bytes(Encoding.PEM))


async def outcome(server: Any, context: ssl.SSLContext) -> str:
    """Give what a client gets: `echo`, or the alert that it is told."""
    try:
        await server.shown("a.test", context)
    except ssl.SSLError as error:
        return str(error.reason)
    return "echo"


@both_versions
@pytest.mark.parametrize(
    ("file", "alert"),
    [
        ("good.pem", "echo"),
        ("foreign.pem", "TLSV1_ALERT_UNKNOWN_CA"),
        ("ended.pem", "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        ("server.pem", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
        (None, ""),
    ],
    ids=["good", "of another authority", "ended", "for servers", "none"],
)
async def test_who_gets_in(
    bench: Callable, clients: Callable, version: ssl.TLSVersion, file: str | None, alert: str
) -> None:
    """Only a good certificate gets in; others are told why by TLS's own alert, and none only where it may."""
    server = await bench(client_certificates="optional", client_ca="ca.pem")
    assert await outcome(server, clients(version, file)) == (alert or "echo")
    server = await bench(client_certificates="required", client_ca="ca.pem")
    none = {VERSIONS[0]: "SSLV3_ALERT_HANDSHAKE_FAILURE", VERSIONS[1]: "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
    assert await outcome(server, clients(version, file)) == (alert or none[version])
    assert await outcome(server, clients(version, "good.pem")) == "echo"


@both_versions
async def test_certificates_that_nobody_asked_for(
    bench: Callable, clients: Callable, version: ssl.TLSVersion
) -> None:
    """Without `client_certificates` a client is not asked, and none that it has is looked at."""
    server = await bench()
    assert await outcome(server, clients(version, "foreign.pem")) == "echo"
    assert server.peers == [None]


async def test_tls_1_3_fails_after_the_clients_handshake(bench: Callable, clients: Callable) -> None:
    """Under TLS 1.3 a client without a certificate has finished its handshake when it is told."""
    server = await bench(client_certificates="required", client_ca="ca.pem")
    reader, writer = await server.open("a.test", clients(ssl.TLSVersion.TLSv1_3))
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        await reader.read(1)
    assert server.peers == []


@both_versions
async def test_failed_handshakes_leave_nothing(
    bench: Callable, clients: Callable, until: Callable, version: ssl.TLSVersion
) -> None:
    """What a failed handshake held is free at once, not at the next collection, which is seldom."""
    server = await bench(client_certificates="required", client_ca="ca.pem")
    gc.collect()
    gc.disable()
    try:
        assert await outcome(server, clients(version)) != "echo"
        await server.stack.aclose()  # the client ends TCP
        await until(lambda: not any(type(item).__name__ == "_Handshake" for item in gc.get_objects()))
    finally:
        gc.enable()


class Sessions:
    """Clients of one server that resume each other's session, on sockets that block."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.context = context
        self.sockets = ExitStack()
        self.session: ssl.SSLSession | None = None

    async def resumed(self) -> bool:
        """Open TLS with the session of the last client, if any; tell whether it was resumed."""
        return await asyncio.to_thread(self._open)

    def _open(self) -> bool:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        wrapped = self.context.wrap_socket(plain, server_hostname="a.test", session=self.session)
        self.sockets.enter_context(wrapped)
        wrapped.sendall(b"hello")
        if wrapped.recv(5) != b"hello":
            raise ConnectionAbortedError
        self.session = wrapped.session
        return bool(wrapped.session_reused)


@both_versions
async def test_no_session_outlives_its_certificate(
    bench: Callable, issue: Callable, clients: Callable, version: ssl.TLSVersion
) -> None:
    """Sessions are resumed as OpenSSL has it, and not across a change of the certificate."""
    server = await bench()
    sessions = Sessions(server.port, clients(version))
    with sessions.sockets:
        assert [await sessions.resumed(), await sessions.resumed()] == [False, True]
        issue("a.pem", "a.test")
        await server.look()
        assert [await sessions.resumed(), await sessions.resumed()] == [False, True]


@both_versions
async def test_no_session_outlives_the_authorities(
    bench: Callable, clients: Callable, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A client of a former authority is not let in by a session either."""
    server = await bench(client_certificates="required", client_ca="ca.pem")
    sessions = Sessions(server.port, clients(version, "good.pem"))
    with sessions.sockets:
        assert not await sessions.resumed()
        assert not sessions.session.has_ticket
        # TLS 1.2 has session ids also without tickets, TLS 1.3 has not.
        assert await sessions.resumed() is (version is ssl.TLSVersion.TLSv1_2)
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        await server.look()
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            await sessions.resumed()


async def test_no_session_outlives_the_clients_certificate(
    bench: Callable, clients: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session of TLS 1.2, which is not verified again, ends with the certificate that opened it."""
    server = await bench(client_certificates="optional", client_ca="ca.pem")
    sessions = Sessions(server.port, clients(ssl.TLSVersion.TLSv1_2, "good.pem"))
    end = datetime(3000, 1, 1, tzinfo=UTC).timestamp()
    with sessions.sockets:
        await sessions.resumed()
        for seconds in (end - 1, end + 1):
            monkeypatch.setattr("gateway.server.tls.time", SimpleNamespace(time=lambda now=seconds: now))
            if seconds < end:
                assert await sessions.resumed()
            else:
                with pytest.raises(ConnectionError):
                    await sessions.resumed()


async def test_authorities_and_certificate_change_together(
    bench: Callable, issue: Callable, clients: Callable, tmp_path: Path
) -> None:
    """New authorities wait for a certificate that does not load, so that all contexts trust the same."""
    issue("b.pem", "b.test")
    server = await bench(
        client_certificates="required",
        client_ca="ca.pem",
        more_certificates=[{"certificate": "b.pem", "key": "b.pem"}],
    )
    good = clients(ssl.TLSVersion.TLSv1_3, "good.pem")
    (tmp_path / "b.pem").write_text("junk")
    trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    await server.look()
    assert await outcome(server, good) == "echo"
    (line,) = server.events("certificate_reload_failed")
    assert line["file"] == str(tmp_path / "b.pem")
    issue("b.pem", "b.test")
    await server.look()
    assert await outcome(server, good) == "TLSV1_ALERT_UNKNOWN_CA"
    assert len(server.events("certificate_reloaded")) == 2
    issue("b.pem", "b.test")
    await server.look()
    assert len(server.events("certificate_reloaded")) == 3


async def test_authorities_that_do_not_load(
    bench: Callable, issue: Callable, clients: Callable, tmp_path: Path
) -> None:
    """The old authorities stay, and keep no certificate from being renewed."""
    server = await bench(client_certificates="required", client_ca="ca.pem")
    (tmp_path / "ca.pem").write_text("junk")
    renewed = issue("a.pem", "a.test")
    await server.look()
    assert await server.shown("a.test", clients(ssl.TLSVersion.TLSv1_3, "good.pem")) == renewed
    (line,) = server.events("certificate_reload_failed")
    assert (line["file"], line["reason"]) == (
        str(tmp_path / "ca.pem"),
        "file holds no certificate in pem form",
    )


async def test_what_the_server_knows(bench: Callable, clients: Callable) -> None:
    """The protocol is told the verified certificate's subject."""
    server = await bench(client_certificates="optional", client_ca="ca.pem")
    for file in ("good.pem", None):
        assert await outcome(server, clients(ssl.TLSVersion.TLSv1_3, file)) == "echo"
    named, unnamed = server.peers
    assert (("commonName", "ada"),) in named["subject"]
    assert unnamed is None
