"""Tests of the way `mtls`: what a certificate says, and the way through a TLS listener."""

from __future__ import annotations

import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidMessage, InvalidStatus

from gateway import Handler, Opening, OpeningRequest, Refused
from gateway.auth.mtls import MtlsAuthenticator
from gateway.config.models import MtlsWayConfig
from gateway.protocol.head import parse_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from gateway.testing import Served

CERTIFICATE: dict[str, Any] = {
    "subject": ((("organizationName", "Acme"),), (("commonName", "ann"),)),
    "issuer": ((("commonName", "Acme CA"),),),
    "serialNumber": "0A1B",
    "notBefore": "Jan  5 09:34:43 2020 GMT",
    "notAfter": "Jan  5 09:34:43 2035 GMT",
    "subjectAltName": (
        ("DNS", "ann.example.com"),
        ("email", "ann@example.com"),
        ("URI", "spiffe://example.com/ann"),
        ("IP Address", "127.0.0.1"),
    ),
}


def opening(certificate: dict[str, Any] | None) -> Opening:
    """Make an opening handshake by a client with a certificate."""
    request = OpeningRequest(parse_head(b"GET /x HTTP/1.1\r\nHost: x", max_lines=9), "/x")
    return Opening(request, "x", {}, "127.0.0.1", None, peer_certificate=certificate)


def judge(certificate: dict[str, Any] | None, user_from: Any = "common_name") -> Any:
    """Give the identity of a certificate."""
    return MtlsAuthenticator(MtlsWayConfig(user_from=user_from)).authenticate(opening(certificate))


def test_the_identity_of_a_certificate() -> None:
    """Subject, issuer and serial number become claims, and the certificate's end is the identity's."""
    identity = judge(CERTIFICATE)
    assert identity.user == "ann"
    assert identity.claims == {
        "subject": {"organizationName": ["Acme"], "commonName": ["ann"]},
        "issuer": {"commonName": ["Acme CA"]},
        "serial_number": "0A1B",
    }
    assert identity.expires_at == datetime(2035, 1, 5, 9, 34, 43, tzinfo=UTC).timestamp()
    assert identity.issued_at == datetime(2020, 1, 5, 9, 34, 43, tzinfo=UTC).timestamp()
    assert (identity.proved_by, identity.token_id) == ("mtls", "0A1B")


@pytest.mark.parametrize(
    ("user_from", "user"),
    [
        ("common_name", "ann"),
        ("san_dns", "ann.example.com"),
        ("san_email", "ann@example.com"),
        ("san_uri", "spiffe://example.com/ann"),
    ],
)
def test_where_the_user_is_taken_from(user_from: str, user: str) -> None:
    """The user is the name of the chosen kind, and no other."""
    assert judge(CERTIFICATE, user_from).user == user


@pytest.mark.parametrize("certificate", [None, {}])
def test_without_a_certificate_the_next_way_is_asked(certificate: dict[str, Any] | None) -> None:
    """A client that showed none, or to which none was verified, is left to other ways."""
    assert judge(certificate) is None


@pytest.mark.parametrize(
    ("change", "user_from"),
    [
        ({"subject": ((("organizationName", "Acme"),),)}, "common_name"),
        ({"subject": ()}, "common_name"),
        ({"subject": ((("commonName", "ann"),), (("commonName", "bob"),))}, "common_name"),
        ({"subject": ((("commonName", ""),),)}, "common_name"),
        ({"subject": ((("commonName", "ann\nbob"),),)}, "common_name"),
        ({"subject": ((("commonName", "x" * 513),),)}, "common_name"),
        ({"subjectAltName": (("DNS", "ann"), ("DNS", "bob"))}, "san_dns"),
        ({"subjectAltName": ()}, "san_email"),
        ({"notAfter": "Jan  5 09:34:43 2021 GMT"}, "common_name"),
    ],
)
def test_a_certificate_that_names_nobody(change: dict[str, Any], user_from: str) -> None:
    """No name, two, one that is no user id, or a certificate that has ended, let nobody in."""
    with pytest.raises(Refused) as caught:
        judge(CERTIFICATE | change, user_from)
    assert caught.value.refusal.status == 401


class Who(Handler):
    """A handler that says who connected."""

    def on_open(self, connection: Any) -> None:
        """Send the identity."""
        identity = connection.identity
        connection.send_json([identity.user, identity.proved_by, identity.expires_at])


class Clients:
    """What makes clients' certificates, and the TLS of clients that have one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = trustme.CA()
        self.authority = trustme.CA()
        self._count = 0

    def listen(self, asked: str) -> dict[str, Any]:
        """Give the `listen` section of a gateway that asks for certificates."""
        issued = self.server.issue_cert("localhost")
        issued.private_key_pem.write_to_path(str(self.folder / "key.pem"))
        for index, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(str(self.folder / "certificate.pem"), append=index > 0)
        self.authority.cert_pem.write_to_path(str(self.folder / "clients.pem"))
        tls = {
            "certificate": str(self.folder / "certificate.pem"),
            "key": str(self.folder / "key.pem"),
            "client_ca": str(self.folder / "clients.pem"),
            "client_certificates": asked,
        }
        return {"drain_seconds": 0, "tls": tls}

    def anonymous(self) -> ssl.SSLContext:
        """Give the TLS of a client without a certificate."""
        context = ssl.create_default_context()
        self.server.configure_trust(context)
        return context

    def named(
        self, name: str, *sans: x509.GeneralName, authority: trustme.CA | None = None
    ) -> ssl.SSLContext:
        """Give the TLS of a client whose certificate has a common name and alternative names."""
        issuer = authority or self.authority
        issuer_key: Any = serialization.load_pem_private_key(issuer.private_key_pem.bytes(), None)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.load_pem_x509_certificate(issuer.cert_pem.bytes()).subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
            )
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        certificate = builder.sign(issuer_key, hashes.SHA256())
        self._count += 1
        file = self.folder / f"client-{self._count}.pem"
        form = serialization.PrivateFormat.PKCS8
        file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = self.anonymous()
        context.load_cert_chain(file)
        return context


class TestServed:
    """The way through a TLS listener."""

    @pytest.fixture
    def clients(self, tmp_path: Path) -> Clients:
        """Two authorities: the server's, and that of clients."""
        return Clients(tmp_path)

    @pytest.fixture
    def start(
        self, clients: Clients, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> Callable[..., Awaitable[Served]]:
        """A function that serves a gateway with the way."""

        async def start(
            asked: str, user_from: str = "common_name", ways: Sequence[str] = ("mtls",)
        ) -> Served:
            keys = [{"name": "a", "user": "bob", "token": "tok-bob"}]
            ways_of = {"mtls": {"user_from": user_from}, "token": {"keys": keys}}
            ticket = {"secret": "x" * 32, "authenticate": ["mtls"]}
            route = {
                "path": "/who",
                "allow_missing_origin": True,
                "authenticate": [*ways, "ticket"],
                "handlers": ["who"],
            }
            return await serve_gateway(
                json.dumps(
                    {
                        "listen": clients.listen(asked),
                        "authentication": {**ways_of, "ticket": ticket},
                        "routes": [route],
                    }
                ),
                handlers={"who": Who},
            )

        return start

    @pytest.mark.parametrize("asked", ["optional", "required"])
    async def test_a_certificate_names_the_user(self, clients: Clients, start: Any, asked: str) -> None:
        """The common name of a verified certificate is the user, until the certificate ends."""
        server = await start(asked)
        async with server.connect("/who", ssl=clients.named("ann")) as client:
            user, way, ends = json.loads(await client.recv())
        assert (user, way) == ("ann", "mtls")
        assert time.time() + 86_000 < ends < time.time() + 86_500

    async def test_alternative_names(self, clients: Clients, start: Any) -> None:
        """An alternative name can be the user; a certificate without it is refused."""
        server = await start("required", "san_uri")
        good = clients.named("x", x509.DNSName("d"), x509.UniformResourceIdentifier("spiffe://e/ann"))
        async with server.connect("/who", ssl=good) as client:
            assert json.loads(await client.recv())[0] == "spiffe://e/ann"
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/who", ssl=clients.named("ann"))
        assert caught.value.response.status_code == 401
        line = [line for line in server.log if line["event"] == "opening_refused"][-1]
        assert line["detail"] == "certificate has 0 names of kind san_uri"

    async def test_without_a_certificate(self, clients: Clients, start: Any) -> None:
        """Where certificates are optional, a client without one is left to the next way, or refused."""
        server = await start("optional", ways=["mtls", "token"])
        headers = {"Authorization": "Bearer tok-bob"}
        async with server.connect("/who", ssl=clients.anonymous(), additional_headers=headers) as client:
            assert json.loads(await client.recv())[:2] == ["bob", "token"]
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/who", ssl=clients.anonymous())
        assert caught.value.response.status_code == 401

    @pytest.mark.parametrize("asked", ["optional", "required"])
    async def test_a_certificate_of_another_authority(self, clients: Clients, start: Any, asked: str) -> None:
        """A certificate that does not come from the clients' authority ends TLS, even one of the server's."""
        server = await start(asked)
        for authority in (trustme.CA(), clients.server):
            with pytest.raises((ssl.SSLError, InvalidMessage)):
                await server.connect("/who", ssl=clients.named("ann", authority=authority))
        assert server.node.metrics.connections_opened == 0

    async def test_a_ticket_for_a_certificate(self, clients: Clients, start: Any) -> None:
        """Plain HTTP sees the same certificate, so that it buys a ticket."""
        server = await start("optional")
        url = server.http_url("/api/tickets")
        async with aiohttp.ClientSession() as http:
            async with http.post(url, ssl=clients.named("ann")) as response:
                assert response.status == 201
                ticket = (await response.json())["ticket"]
            async with http.post(url, ssl=clients.anonymous(), headers={"Connection": "close"}) as response:
                assert response.status == 401
        async with server.connect(f"/who?ticket={ticket}", ssl=clients.anonymous()) as client:
            assert json.loads(await client.recv())[:2] == ["ann", "ticket"]
