"""Tests of the listener's TLS."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config.certificates import CertificateFault, read_authorities
from gateway.config.models import TlsConfig
from gateway.server.tls import make_tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trustme

    from gateway.core.opening import Opening

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
HANDSHAKE_RECORD = b"\x16"
ALERT_RECORD = b"\x15"

tls_only = pytest.mark.parametrize("secure", [True], ids=["tls"])


def hello(version: ssl.TLSVersion) -> bytes:
    """Give the first flight of a client that speaks one version of TLS only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else the client's own library does not offer old versions
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


@tls_only
async def test_old_versions_are_refused(start: Callable, dial: Callable) -> None:
    """A client that speaks nothing newer than TLS 1.1 gets no handshake, where TLS 1.2 gets one."""
    server = await start(ROUTES)
    for version, spoken in (("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True)):
        wire = await dial(server, tls=False)
        wire.send(hello(ssl.TLSVersion[version]))
        async with asyncio.timeout(10):
            answer = await wire.reader.read(1)
        assert (answer == HANDSHAKE_RECORD) is spoken, version


@tls_only
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_new_versions_are_spoken(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, authority: trustme.CA, version: str
) -> None:
    """TLS 1.2 and 1.3 carry a connection."""
    server = await start(ROUTES)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    wire = await ask(server, opening(), tls=False, ssl=context, server_hostname="localhost")
    await accepted(wire)
    assert wire.writer.get_extra_info("ssl_object").version().replace(".", "_") == version


@tls_only
async def test_alpn(
    start: Callable, ask: Callable, opening: Callable, accepted: Callable, authority: trustme.CA
) -> None:
    """A client that offers HTTP/2 first, as browsers do, is told to speak HTTP/1.1."""
    server = await start(ROUTES)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    wire = await ask(server, opening(), tls=False, ssl=context, server_hostname="localhost")
    assert wire.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
    await accepted(wire)


@tls_only
async def test_client_that_does_not_trust_the_certificate(
    start: Callable, dial: Callable, ask: Callable, opening: Callable, accepted: Callable
) -> None:
    """A client that breaks TLS off harms nobody else."""
    server = await start(ROUTES)
    with pytest.raises(ssl.SSLCertVerificationError):
        await dial(server, tls=False, ssl=ssl.create_default_context(), server_hostname="localhost")
    await accepted(await ask(server, opening()))


@tls_only
async def test_lowest_version(start: Callable, dial: Callable, certificate: dict[str, str]) -> None:
    """With `min_version` 1.3 a client that speaks nothing newer than 1.2 is told so by an alert."""
    server = await start(ROUTES, listen={"tls": certificate | {"min_version": "1.3"}})
    for version, record in (("TLSv1_2", ALERT_RECORD), ("TLSv1_3", HANDSHAKE_RECORD)):
        wire = await dial(server, tls=False)
        wire.send(hello(ssl.TLSVersion[version]))
        async with asyncio.timeout(10):
            answer = await wire.reader.readexactly(7)
        assert answer[:1] == record, version
        if record == ALERT_RECORD:
            assert answer[5:] == b"\x02\x46"  # fatal, protocol_version: RFC 8446 section 6


@tls_only
async def test_peer_that_reads_no_alert(
    start: Callable, dial: Callable, until: Callable, pending: Callable
) -> None:
    """A peer whose handshake has failed is let go at the deadline, whether it ends TCP itself or not."""
    server = await start(ROUTES, listen={"opening_timeout_seconds": 0.3})
    wire = await dial(server, tls=False)
    wire.send(hello(ssl.TLSVersion.TLSv1_1))
    assert (await wire.cut())[:1] == ALERT_RECORD
    await until(lambda: pending(server) == 0)


@tls_only
async def test_new_certificate_while_connections_live(
    start: Callable,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    until: Callable,
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    """A changed certificate is shown to new clients without a restart; a connection from before lives on."""

    def issue() -> bytes:
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "new.pem")
        (tmp_path / "new.pem").replace(tmp_path / "pair.pem")
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    first, pair = issue(), str(tmp_path / "pair.pem")
    server = await start(ROUTES, listen={"tls": {"certificate": pair, "key": pair, "reload_seconds": 0.1}})
    before = await ask(server, opening())
    await accepted(before)
    second = issue()
    await until(lambda: any(line["event"] == "certificate_reloaded" for line in server.log))
    after = await ask(server, opening())
    await accepted(after)
    before.send(b"\x81\x82\x00\x00\x00\x00hi")
    assert await before.reader.readexactly(4) == b"\x81\x02hi"
    shown = [
        wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True) for wire in (before, after)
    ]
    assert shown == [first, second]
    assert server.node.metrics.connections == 2
    assert server.node.metrics.certificate_expires_at.keys() == {pair}


@tls_only
async def test_opening_shows_the_clients_certificate(
    start: Callable,
    ask: Callable,
    opening: Callable,
    accepted: Callable,
    plugin: Callable,
    authority: trustme.CA,
    certificate: dict[str, str],
    tmp_path: Path,
) -> None:
    """What judges an opening handshake sees the verified certificate, or None where none was shown."""
    seen: list[Any] = []

    def admit(opening: Opening) -> None:
        seen.append(opening.peer_certificate)

    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("ada@example.com", common_name="ada").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "ada.pem"
    )
    tls = certificate | {"client_certificates": "optional", "client_ca": str(tmp_path / "ca.pem")}
    server = await start(ROUTES, listen={"tls": tls}, plugins=[plugin(admit=admit)])
    for file in (None, "ada.pem"):
        context = ssl.create_default_context()
        authority.configure_trust(context)
        if file is not None:
            context.load_cert_chain(tmp_path / file)
        await accepted(await ask(server, opening(), tls=False, ssl=context, server_hostname="localhost"))
    assert seen[0] is None
    assert (("commonName", "ada"),) in seen[1]["subject"]


def context_of(certificate: dict[str, str], **keys: Any) -> ssl.SSLContext:
    """Make the context of a listener."""
    config = TlsConfig(**certificate, **keys)
    authorities = b"" if config.client_ca is None else read_authorities(config.client_ca)
    return make_tls_context(config, config, authorities)


def test_context(certificate: dict[str, str]) -> None:
    """The context asks for no certificate, speaks TLS 1.2 and up, and neither renegotiates nor packs."""
    context = context_of(certificate)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context_of(certificate, min_version="1.3").minimum_version == ssl.TLSVersion.TLSv1_3


def test_ciphers(certificate: dict[str, str]) -> None:
    """Every cipher has forward secrecy and authenticated encryption; those of browsers are there."""
    ciphers = context_of(certificate).get_ciphers()
    assert all(cipher["aead"] for cipher in ciphers)
    old = {cipher["name"] for cipher in ciphers if cipher["protocol"] != "TLSv1.3"}
    assert all(name.startswith(("ECDHE-ECDSA-", "ECDHE-RSA-")) for name in old)
    assert {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"} <= old
    assert {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"} <= {cipher["name"] for cipher in ciphers}


def test_context_that_asks_for_certificates(certificate: dict[str, str]) -> None:
    """Where certificates are asked for no tickets are given, since a session is not verified again."""
    for asked, mode in (("optional", ssl.CERT_OPTIONAL), ("required", ssl.CERT_REQUIRED)):
        context = context_of(certificate, client_certificates=asked, client_ca=certificate["certificate"])
        assert context.verify_mode is mode
        assert context.num_tickets == 0
        assert context.options & ssl.OP_NO_TICKET


def test_certificate_that_does_not_load(certificate: dict[str, str], tmp_path: Path) -> None:
    """A missing file, or a key of another certificate, is an error that names the file."""
    for files, key in (({"key": str(tmp_path / "none.pem")}, "key"), ({"certificate": __file__}, "key")):
        with pytest.raises(CertificateFault) as caught:
            context_of(certificate | files)
        assert caught.value.key == key
