"""Tests of the way `token`: static keys, by themselves and through a served gateway."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from gateway import GatewayError, Handler, Opening, OpeningRequest, Refused
from gateway.auth.credentials import find
from gateway.auth.token import TokenAuthenticator, fitting
from gateway.config import TokenWayConfig
from gateway.protocol.head import parse_head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

ANN = "tok-" + "ann-0123456789"
BOB = "tok-" + "bob-0123456789"

OPTIONS = TokenWayConfig.model_validate(
    {
        "keys": [
            {"name": "spare", "user": "nobody", "token": ""},
            {"name": "a", "user": "ann", "token": ANN, "claims": {"role": "admin", "teams": ["x", "y"]}},
            {"name": "b", "user": "bob", "token": BOB},
        ]
    }
)


def digest(token: str) -> bytes:
    """Give the SHA-256 of a token."""
    return hashlib.sha256(token.encode()).digest()


def opening(*authorization: bytes) -> Opening:
    """Make an opening handshake with the given Authorization fields."""
    fields = b"".join(b"\r\nAuthorization: " + value for value in authorization)
    request = OpeningRequest(parse_head(b"GET /mine HTTP/1.1\r\nHost: x" + fields, max_lines=9), "/mine")
    return Opening(request, "mine", {}, "127.0.0.1", None, credential=find(request, ["header"]))


class TestJudging:
    """What the way makes of the credentials of a request."""

    def test_a_token_proves_the_identity_of_its_key(self) -> None:
        """The identity has the key's user and claims, ends never, and says which way proved it."""
        identity = TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + ANN.encode()))
        assert identity is not None
        assert identity.user == "ann"
        assert identity.claims == {"role": "admin", "teams": ["x", "y"]}
        assert identity.expires_at is None
        assert identity.proved_by == "token"
        other = TokenAuthenticator(OPTIONS).authenticate(opening(b"bearer   " + BOB.encode() + b" "))
        assert other is not None
        assert (other.user, dict(other.claims)) == ("bob", {})

    @pytest.mark.parametrize("field", [None, b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"Bearertok"])
    def test_credentials_of_another_kind_are_left_to_other_ways(self, field: bytes | None) -> None:
        """Without a bearer token the way has nothing to say."""
        given = () if field is None else (field,)
        assert TokenAuthenticator(OPTIONS).authenticate(opening(*given)) is None

    @pytest.mark.parametrize(
        "token",
        [
            b"wrong",
            ANN[:-1].encode(),
            ANN.encode() + b"0",
            ANN.upper().encode(),
            b"\xff\xfe",
            "世界".encode(),
        ],
        ids=["wrong", "shorter", "longer", "case", "bytes", "utf-8"],
    )
    def test_a_token_that_fits_no_key_is_refused(self, token: bytes) -> None:
        """A wrong token is refused with 401, and stands neither in the answer nor in the error."""
        with pytest.raises(Refused) as caught:
            TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + token))
        assert caught.value.refusal.status == 401
        assert ("WWW-Authenticate", "Bearer") in caught.value.refusal.headers
        assert token not in caught.value.refusal.to_bytes() + str(caught.value).encode()

    def test_an_empty_token_of_a_key_lets_nobody_in(self) -> None:
        """A key whose variable is unset proves nothing, whatever is sent."""
        options = TokenWayConfig.model_validate({"keys": [{"name": "a", "user": "ann", "token": ""}]})
        way = TokenAuthenticator(options)
        assert way.authenticate(opening(b"Bearer ")) is None
        with pytest.raises(Refused):
            way.authenticate(opening(b"Bearer x"))

    def test_without_keys_nobody_is_let_in(self) -> None:
        """The way without settings accepts no token at all."""
        with pytest.raises(Refused):
            TokenAuthenticator(TokenWayConfig()).authenticate(opening(b"Bearer x"))

    def test_every_key_is_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time of an answer tells neither which key was near nor how near it was."""
        compared: list[tuple[bytes, bytes]] = []
        compare = hmac.compare_digest

        def watch(expected: bytes, given: bytes) -> bool:
            compared.append((expected, given))
            return compare(expected, given)

        monkeypatch.setattr(hmac, "compare_digest", watch)
        TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + ANN.encode()))
        assert compared == [(digest(ANN), digest(ANN)), (digest(BOB), digest(ANN))]

    def test_a_hash_stands_for_its_token(self) -> None:
        """A key that is kept as a hash is proved by the token, and not by the hash itself."""
        keys = [{"name": "a", "user": "ann", "hash": f"sha256:{digest(ANN).hex()}", "groups": ["staff"]}]
        way = TokenAuthenticator(TokenWayConfig.model_validate({"keys": keys}))
        identity = way.authenticate(opening(b"Bearer " + ANN.encode()))
        assert identity is not None
        assert (identity.user, identity.groups, identity.token_id) == ("ann", ("staff",), "a")
        for wrong in (BOB, digest(ANN).hex(), f"sha256:{digest(ANN).hex()}"):
            with pytest.raises(Refused):
                way.authenticate(opening(b"Bearer " + wrong.encode()))

    def test_a_key_ends_at_its_date(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Until its end a key proves an identity that ends with it; from then on the token is refused."""
        keys = [{"name": "a", "user": "ann", "token": ANN, "expires_at": "2030-06-30T12:00:00+02:00"}]
        way = TokenAuthenticator(TokenWayConfig.model_validate({"keys": keys}))
        end = datetime(2030, 6, 30, 10, tzinfo=UTC).timestamp()
        monkeypatch.setattr(time, "time", lambda: end - 0.01)
        identity = way.authenticate(opening(b"Bearer " + ANN.encode()))
        assert identity is not None
        assert identity.expires_at == end
        monkeypatch.setattr(time, "time", lambda: end)
        with pytest.raises(Refused) as caught:
            way.authenticate(opening(b"Bearer " + ANN.encode()))
        assert (caught.value.refusal.status, caught.value.detail) == (401, "token's key has ended")

    @pytest.mark.parametrize("token", ["eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "a.b.", "x-_.y.z", "a..c"])
    def test_a_jwt_is_left_to_the_way_that_judges_it(self, token: str) -> None:
        """A credential in the form of a JWT is no static token, so that another way may follow."""
        assert TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + token.encode())) is None

    @pytest.mark.parametrize("token", ["a.b", "a.b.c.d", "a.b.c.d.e", ".b.c", "a.b+.c"])
    def test_what_only_resembles_a_jwt_is_refused(self, token: str) -> None:
        """Dots alone do not make a JWT."""
        with pytest.raises(Refused):
            TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + token.encode()))


@pytest.mark.parametrize(("token", "index"), [(ANN, 1), (BOB, 2), ("", None), ("ab\udcff", None), ("ü", 0)])
def test_fitting(token: str, index: int | None) -> None:
    """Tokens are found by their digests, whatever characters are in them."""
    assert fitting(token, [digest("ü"), digest(ANN), digest(BOB)]) == index


CONFIGURATION = """
listen: {drain_seconds: 0}
authentication:
  token:
    keys:
      - {name: a, user: ann, token: "${ANN}", claims: {role: admin}}
      - {name: b, user: bob, token: "${BOB}"}
routes:
  - {path: /who, allow_missing_origin: true, authenticate: [token], groups: ["to:{user}"], handlers: [who]}
"""


class Who(Handler):
    """A handler that says who connected."""

    def on_open(self, connection: Any) -> None:
        """Send the identity and the groups."""
        identity = connection.identity
        connection.send_json([identity.user, dict(identity.claims), identity.proved_by, connection.groups])


class TestServed:
    """The way, end to end."""

    @pytest.fixture
    async def server(self, serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
        """A gateway whose one route takes tokens only."""
        return await serve_gateway(CONFIGURATION, handlers={"who": Who}, environ={"ANN": ANN, "BOB": BOB})

    @pytest.mark.parametrize(
        ("token", "said"),
        [(ANN, '["ann",{"role":"admin"},"token",["to:ann"]]'), (BOB, '["bob",{},"token",["to:bob"]]')],
    )
    async def test_a_connection_has_the_identity_of_its_token(
        self, server: Served, token: str, said: str
    ) -> None:
        """Handlers see the user, the claims and the way; the route's groups are filled in."""
        async with server.connect("/who", additional_headers={"Authorization": f"Bearer {token}"}) as client:
            assert await client.recv() == said
        assert token not in server.stream.getvalue()

    @pytest.mark.parametrize("value", [None, "Bearer tok-guessed-0", "Basic tok-guessed-0", "Bearer"])
    async def test_anything_else_gets_401(self, server: Served, value: str | None) -> None:
        """Without a good token the answer is 401 with its challenge, and the log has no credential."""
        headers = {} if value is None else {"Authorization": value}
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/who", additional_headers=headers)
        response = caught.value.response
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert b"tok-guessed-0" not in response.body
        assert server.node.metrics.refusals == {"unauthorized": 1}
        assert server.node.metrics.connections_opened == 0
        (line,) = [line for line in server.log if line["event"] == "opening_refused"]
        assert (line["status"], line["error"]) == (401, "unauthorized")
        assert "tok-guessed-0" not in server.stream.getvalue()

    async def test_a_token_in_the_query_is_no_token(self, server: Served) -> None:
        """Credentials in the URL are not looked at, and do not reach the log."""
        with pytest.raises(InvalidStatus):
            await server.connect(f"/who?token={ANN}&access_token={ANN}")
        assert ANN not in server.stream.getvalue()

    async def test_a_handler_that_fails_does_not_log_the_token(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """The traceback of a failed event shows no local variables, among which the request is."""

        class Failing(Handler):
            def on_open(self, connection: Any) -> None:
                headers = dict(connection.request.headers)
                raise RuntimeError(f"failed with {len(headers)} headers and {connection.request!r}")

        server = await serve_gateway(
            CONFIGURATION, handlers={"who": Failing}, environ={"ANN": ANN, "BOB": BOB}
        )
        async with server.connect("/who", additional_headers={"Authorization": f"Bearer {ANN}"}) as client:
            await client.wait_closed()
        assert client.close_code == 1011
        assert "handler_failed" in server.stream.getvalue()
        assert ANN not in server.stream.getvalue()

    async def test_keys_that_have_ended_are_told_at_the_start(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """The configuration is good on whatever day it is judged; the log says which keys open nothing."""
        text = CONFIGURATION.replace("user: bob,", "user: bob, expires_at: 2020-02-29,")
        server = await serve_gateway(text, handlers={"who": Who}, environ={"ANN": ANN, "BOB": BOB})
        (line,) = [line for line in server.log if line["event"] == "token_key_expired"]
        assert (line["level"], line["key"], line["user"]) == ("warning", "b", "bob")
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/who", additional_headers={"Authorization": f"Bearer {BOB}"})
        assert caught.value.response.status_code == 401
        async with server.connect("/who", additional_headers={"Authorization": f"Bearer {ANN}"}) as client:
            assert '"ann"' in str(await client.recv())

    async def test_an_identity_is_not_shown_with_its_claims(self) -> None:
        """What a plugin logs of an identity does not tell what its claims hold."""
        identity = TokenAuthenticator(OPTIONS).authenticate(opening(b"Bearer " + ANN.encode()))
        assert "admin" not in repr(identity)

    async def test_a_token_of_the_file_is_not_shown_in_its_errors(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """A bad configuration is told without the secrets in it."""
        text = CONFIGURATION + "  - {path: who, handlers: [who]}\n"
        bad = "tok bad\n" + ANN
        with pytest.raises(GatewayError) as caught:
            await serve_gateway(text, handlers={"who": Who}, environ={"ANN": ANN, "BOB": bad})
        assert ANN not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 2
