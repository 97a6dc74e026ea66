"""Tests of the listener's certificates: shown by server name, and as fresh as their files."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from gateway.config.certificates import CertificateFault

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import trustme

NOW = datetime.now(UTC).replace(microsecond=0)
PAST = NOW - timedelta(days=1)
SOON = NOW + timedelta(days=4, hours=12)
LATER = NOW + timedelta(days=400)


async def test_new_certificate(bench: Callable, issue: Callable, tmp_path: Path) -> None:
    """A changed certificate is shown to new clients; who was there before notices nothing."""
    first = issue("a.pem", "a.test")
    server = await bench()
    before = await server.open()
    assert await server.shown() == first
    second = issue("a.pem", "a.test")
    await server.certificates.refresh()
    assert await server.shown() == first  # what has changed this moment may change still
    await server.certificates.refresh()
    assert await server.shown() == second
    await server.echoes(*before)
    (line,) = server.events("certificate_reloaded")
    assert (line["level"], line["certificate"]) == ("info", str(tmp_path / "a.pem"))
    assert line["ends"] == "3000-01-01T00:00:00Z"
    await server.look()
    assert len(server.events("certificate_reloaded")) == 1


async def test_handshake_under_way(bench: Callable, issue: Callable) -> None:
    """A handshake that has begun when the certificate changes is finished with the old one."""
    issue("a.pem", "a.test")
    server = await bench()
    reader, writer = await server.dial()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = server.trust.wrap_bio(incoming, outgoing, server_hostname="a.test")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    writer.write(outgoing.read())
    incoming.write(await reader.read(65536))
    issue("a.pem", "a.test")
    await server.look()
    client.do_handshake()
    client.write(b"hello")
    writer.write(outgoing.read())
    async with asyncio.timeout(10):
        while True:
            try:
                assert client.read(5) == b"hello"
                break
            except ssl.SSLWantReadError:
                incoming.write(await reader.read(65536))


async def test_swapped_link(bench: Callable, issue: Callable, tmp_path: Path) -> None:
    """A folder that is swapped by its link, as Kubernetes does it, is a change, sizes and times alike."""
    ders: list[bytes] = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        ders.append(issue(f"{folder}/tls.pem", "a.test"))
        file = tmp_path / folder / "tls.pem"
        file.write_bytes(file.read_bytes().ljust(8192))
        os.utime(file, (1, 1))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "tls.pem").symlink_to("data/tls.pem")
    server = await bench(certificate="tls.pem", key="tls.pem")
    assert await server.shown() == ders[0]
    (tmp_path / "data.new").symlink_to("two")
    (tmp_path / "data.new").replace(tmp_path / "data")
    await server.look()
    assert await server.shown() == ders[1]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("junk", "file holds no certificate in pem form"),
        (None, "file not found"),
        ("key", "certificate and key do not load: "),
        ("other", "key does not belong to the certificate"),
        ("ended", "certificate has ended"),
    ],
)
async def test_pair_that_does_not_load(
    bench: Callable, issue: Callable, tmp_path: Path, broken: str | None, reason: str
) -> None:
    """The old certificate stays, one error is logged and counted, and the next change is tried again."""
    first = issue("a.pem", "a.test")
    server = await bench()
    good = (tmp_path / "a.pem").read_text()
    issue("b.pem", "a.test")
    issue("ended.pem", "a.test", not_after=PAST)
    key, certificate = (
        text[: text.index("-----BEGIN CERT")] if half == 0 else text[text.index("-----BEGIN CERT") :]
        for half, text in ((0, (tmp_path / "b.pem").read_text()), (1, good))
    )
    if broken is None:
        (tmp_path / "a.pem").unlink()
    else:
        texts = {
            "junk": "junk",
            "key": certificate,
            "other": key + certificate,
            "ended": (tmp_path / "ended.pem").read_text(),
        }
        (tmp_path / "a.pem").write_text(texts[broken])
    for _ in range(3):
        await server.look()
    assert await server.shown() == first
    (line,) = server.events("certificate_reload_failed")
    assert (line["level"], line["file"]) == ("error", str(tmp_path / "a.pem"))
    assert line["reason"].startswith(reason)
    assert server.node.metrics.certificate_reload_errors == 1
    second = issue("a.pem", "a.test")
    await server.look()
    assert await server.shown() == second
    assert server.node.metrics.certificate_reload_errors == 1


async def test_one_of_several_does_not_load(bench: Callable, issue: Callable, tmp_path: Path) -> None:
    """A certificate that does not load does not keep the others from being renewed."""
    issue("a.pem", "a.test")
    kept = issue("b.pem", "b.test")
    server = await bench(more_certificates=[{"certificate": "b.pem", "key": "b.pem"}])
    (tmp_path / "b.pem").write_text("junk")
    renewed = issue("a.pem", "a.test")
    await server.look()
    assert (await server.shown("a.test"), await server.shown("b.test")) == (renewed, kept)
    renewed = issue("b.pem", "b.test")
    await server.look()
    assert await server.shown("b.test") == renewed


async def test_first_load_fails(bench: Callable, issue: Callable) -> None:
    """A certificate that is not there at the start is an error that names the file."""
    with pytest.raises(CertificateFault, match=r"^certificate: file not found$"):
        await bench()
    issue("a.pem", "a.test")
    with pytest.raises(CertificateFault, match=r"^client_ca: file not found$"):
        await bench(client_certificates="optional", client_ca="ca.pem")


async def test_server_names(bench: Callable, issue: Callable, authority: trustme.CA) -> None:
    """Each client is shown the certificate for the name that it asks for, and for other names the first."""
    a = issue("a.pem", "a.test", "exact.wild.test", "unknown.test", "x.y.wild.test")
    b = issue("b.pem", "b.test", "*.wild.test")
    c = issue("c.pem", "*.given.test", "unused.test")
    more = [
        {"certificate": "b.pem", "key": "b.pem"},
        {"certificate": "c.pem", "key": "c.pem", "server_names": ["*.given.test"]},
    ]
    server = await bench(more_certificates=more)
    careless = ssl.create_default_context()
    careless.check_hostname = False
    authority.configure_trust(careless)
    for name, expected in (
        ("a.test", a),
        ("b.test", b),
        ("B.Test", b),
        ("any.wild.test", b),
        ("exact.wild.test", a),
        ("x.y.wild.test", a),
        ("any.given.test", c),
        ("unused.test", a),
        ("unknown.test", a),
        ("127.0.0.1", a),
    ):
        assert await server.shown(name, careless) == expected, name


async def test_renewed_names(bench: Callable, issue: Callable) -> None:
    """When a certificate is renewed, the names are the new one's."""
    a = issue("a.pem", "a.test", "both.test", "late.test")
    issue("b.pem", "b.test")
    server = await bench(more_certificates=[{"certificate": "b.pem", "key": "b.pem"}])
    assert await server.shown("late.test") == a
    a = issue("a.pem", "a.test", "both.test")
    b = issue("b.pem", "b.test", "both.test", "late.test")
    await server.look()
    assert [await server.shown(name) for name in ("a.test", "b.test", "both.test", "late.test")] == [
        a,
        b,
        a,
        b,
    ]


async def test_name_that_is_not_ascii(
    bench: Callable, issue: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server name outside ASCII ends that handshake and harms nobody else."""
    ignored: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda error: ignored.append(error.exc_type))
    a = issue("a.pem", "a.test")
    issue("b.pem", "b.test")
    server = await bench(more_certificates=[{"certificate": "b.pem", "key": "b.pem"}])
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        server.trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="name.test").do_handshake()
    reader, writer = await server.dial()
    writer.write(outgoing.read().replace(b"name.test", b"n\xff\xfee.test"))
    alert = await reader.readexactly(7)
    assert alert[:1] + alert[5:6] == b"\x15\x02"  # a fatal alert
    assert await server.shown() == a
    assert ignored == [UnicodeDecodeError]


async def test_ends(bench: Callable, issue: Callable, tmp_path: Path) -> None:
    """The end of every certificate is a figure, and follows its renewal."""
    issue("a.pem", "a.test", not_after=SOON)
    issue("b.pem", "b.test", not_after=LATER)
    server = await bench(more_certificates=[{"certificate": "b.pem", "key": "b.pem"}])
    ends = {str(tmp_path / "a.pem"): SOON.timestamp(), str(tmp_path / "b.pem"): LATER.timestamp()}
    assert server.node.metrics.certificate_expires_at == ends
    (line,) = server.events("certificate_ends_soon")
    assert (line["level"], line["certificate"], line["days"]) == ("warning", str(tmp_path / "a.pem"), 4)
    issue("a.pem", "a.test", not_after=LATER)
    await server.look()
    ends[str(tmp_path / "a.pem")] = LATER.timestamp()
    assert server.node.metrics.certificate_expires_at == ends
    assert len(server.events("certificate_ends_soon")) == 1
