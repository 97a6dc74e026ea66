"""Tests of the listener's TLS."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from typing import TYPE_CHECKING

import pytest

from gateway.config.models import TlsConfig
from gateway.server.tls import make_tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trustme

ROUTES = """
routes:
  - path: /echo
    handlers: [echo]
    allow_missing_origin: true
"""
HANDSHAKE_RECORD = b"\x16"

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


def test_context(certificate: dict[str, str]) -> None:
    """The context asks clients for no certificate, and speaks TLS 1.2 and up."""
    context = make_tls_context(TlsConfig(**certificate))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE


def test_certificate_that_does_not_load(certificate: dict[str, str], tmp_path: Path) -> None:
    """A missing file, or a key of another certificate, is an error."""
    with pytest.raises(FileNotFoundError):
        make_tls_context(TlsConfig(certificate=str(tmp_path / "none.pem"), key=certificate["key"]))
    with pytest.raises(ssl.SSLError):
        make_tls_context(TlsConfig(certificate=certificate["key"], key=certificate["key"]))
