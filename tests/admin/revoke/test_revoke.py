"""Tests of `POST /api/revoke`: who is closed, who is kept out, and for how long."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from websockets.exceptions import InvalidStatus

from gateway.core import revocations as revocations_module

if TYPE_CHECKING:
    from collections.abc import Callable


KEY = "tok-" + "ann-1"
PATIENCE_SECONDS = 30
GOOD = {"opening": 101, "ticket": 201, "api": 200, "refresh": 200}
REFUSED = {"opening": 401, "ticket": 401, "api": 401, "refresh": 401}


async def closed(connection: Any) -> tuple[int | None, str | None]:
    """Wait for the end; give the code and the reason."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        await connection.wait_closed()
    return connection.close_code, connection.close_reason


class TestTokens:
    """A token is revoked by its `jti`."""

    async def test_a_jwt(self, client: Any, issue: Callable[..., str]) -> None:
        """Its connections end with 4403 in time, and it opens nothing any more; others of the user do."""
        token, other = issue(jti="t-1"), issue(jti="t-2")
        assert await client.judged(token) == GOOD
        async with client.open(token) as one, client.open(token) as two, client.open(other) as three:
            began = time.monotonic()
            assert await client.revoke(jti="t-1") == 2
            assert {await closed(one), await closed(two)} == {(4403, "identity revoked")}
            assert time.monotonic() - began < 2
            await three.send(other)
            assert await three.recv() == "t-2"
        assert await client.judged(token) == REFUSED
        assert await client.judged(other) == GOOD
        assert await client.judged(issue()) == GOOD
        details = {line["detail"] for line in client.server.log if line["event"].endswith("_refused")}
        assert details == {"identity is revoked"}

    async def test_a_static_key(self, client: Any) -> None:
        """A key is revoked by its name."""
        async with client.open(KEY) as connection:
            assert await client.revoke(jti="main") == 1
            assert await closed(connection) == (4403, "identity revoked")
        found = await client.judged(KEY)
        assert (found["opening"], found["ticket"], found["refresh"]) == (401, 401, 401)

    async def test_a_ticket_of_a_revoked_token(self, client: Any, issue: Callable[..., str]) -> None:
        """A ticket that was given before is refused, and so ends a connection that it has opened."""
        tickets = []
        for _ in range(2):
            status, answer = await client.post("/api/tickets", {}, issue(jti="t-1"))
            assert status == 201
            tickets.append(answer["ticket"])
        async with client.server.connect(f"/jwt?ticket={tickets[0]}") as connection:
            assert await client.revoke(jti="t-1") == 1
            assert await closed(connection) == (4403, "identity revoked")
        with pytest.raises(InvalidStatus, match="401"):
            await client.server.connect(f"/jwt?ticket={tickets[1]}")

    async def test_a_renewed_connection(self, client: Any, issue: Callable[..., str]) -> None:
        """What counts is the token that a connection goes by now, not the one that opened it."""
        first, second = issue(jti="t-1"), issue(jti="t-2")
        async with client.open(first) as connection:
            await connection.send(second)
            assert await connection.recv() == "t-2"
            assert await client.revoke(jti="t-1") == 0
            await connection.send(second)
            assert await connection.recv() == "t-2"
            assert await client.revoke(jti="t-2") == 1
            assert await closed(connection) == (4403, "identity revoked")


class TestUsers:
    """What was issued to a user is revoked up to a moment."""

    async def test_a_user(self, client: Any, issue: Callable[..., str]) -> None:
        """The user's tokens of before are refused, a newer one and others' are good; so with connections."""
        now = int(time.time())
        old, new, bobs = issue(iat=now - 50), issue(iat=now - 10), issue("bob", iat=now - 50)
        async with client.open(old) as one, client.open(new) as two, client.open(bobs) as three:
            assert await client.revoke(user="ann", issued_before=now - 20) == 1
            assert await closed(one) == (4403, "identity revoked")
            for connection, token in ((two, new), (three, bobs)):
                await connection.send(token)
                assert await connection.recv() == "renewed"
        assert await client.judged(old) == REFUSED
        assert await client.judged(issue(iat=now - 20)) == REFUSED
        assert await client.judged(issue(iat=None)) == REFUSED
        assert await client.judged(new) == GOOD
        assert (await client.judged(bobs))["opening"] == 101

    async def test_now(self, client: Any, issue: Callable[..., str]) -> None:
        """Without a moment everything up to now is revoked, a static key and what was issued with no time."""
        now = int(time.time())
        async with client.open(issue(iat=now)) as one, client.open(KEY) as two:
            assert await client.revoke(user="ann") == 2
            assert {await closed(one), await closed(two)} == {(4403, "identity revoked")}
        assert (await client.judged(issue(iat=now)))["opening"] == 401
        assert (await client.judged(KEY))["opening"] == 401
        assert await client.judged(issue(iat=time.time() + 3)) == GOOD


class TestHowLong:
    """A revocation holds until everything it is about has expired anyway."""

    async def test_the_answer_says_until_when(self, client: Any) -> None:
        """Until the end that the call gives, and the leeway; or as long as the configuration says."""
        for body, seconds in (({}, 86_400), ({"expires_at": time.time() + 60}, 65)):
            before = time.time()
            status, answer = await client.post("/api/revoke", {"jti": "t-1"} | body)
            assert status == 200
            assert before + seconds - 1 <= answer["expires_at"] <= time.time() + seconds
            (line,) = [line for line in client.server.log if line["event"] == "api_revoked"][-1:]
            assert (line["level"], line["caller"], line["until"]) == ("info", "ops", answer["expires_at"])

    async def test_it_ends(
        self, start: Callable[..., Any], issue: Callable[..., str], until: Callable[..., Any]
    ) -> None:
        """When it has ended nothing is kept of it; a token without leeway has ended too by then."""
        async with start(leeway_seconds=0) as client:
            await self._ends(client, issue(iat=time.time() - 5), until)

    async def _ends(self, client: Any, token: str, until: Callable[..., Any]) -> None:
        assert await client.revoke(user="ann", expires_at=time.time() + 0.4) == 0
        with pytest.raises(InvalidStatus, match="401"):
            await client.open(token)
        revocations = client.server.node.revocations
        await until(lambda: not list(revocations))
        async with client.open(token):
            assert len(revocations) == 0

    async def test_a_token_within_its_leeway(
        self, client: Any, issue: Callable[..., str], until: Callable[..., Any]
    ) -> None:
        """A token that is still good for its leeway is refused for as long, if the call says its `exp`."""
        token = issue(seconds=0.2, jti="t-1")
        exp = jwt.decode(token, options={"verify_signature": False})["exp"]
        assert await client.revoke(jti="t-1", expires_at=exp) == 0
        await until(lambda: time.time() > exp + 0.1)
        for line, expected in ((issue(seconds=0, jti="t-2"), 101), (token, 401)):
            status = 101
            try:
                async with client.open(line):
                    pass
            except InvalidStatus as refused:
                status = refused.response.status_code
            assert status == expected
        assert [line["detail"] for line in client.server.log if line["event"] == "opening_refused"] == [
            "identity is revoked"
        ]


ONE = "exactly one of jti and user is needed"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body is not json: EOF while parsing a value at line 1 column 0"),
        (b"hunter2", "body is not json: expected value at line 1 column 1"),
        ([], "not a mapping"),
        ({}, ONE),
        ({"jti": None, "user": None}, ONE),
        ({"jti": "hunter2", "user": "ann"}, ONE),
        ({"issued_before": 5}, ONE),
        ({"jti": ""}, "jti: too short, at least 1 characters"),
        ({"jti": "j" * 513}, "jti: too long, at most 512 characters"),
        ({"jti": 5}, "jti: not a text, put it in quotes"),
        ({"user": ["hunter2"]}, "user: not a text"),
        ({"jti": "hunter2", "issued_before": 5}, "issued_before goes with user"),
        ({"user": "ann", "issued_before": "now"}, "issued_before: not a number"),
        ({"user": "ann", "issued_before": True}, "issued_before: not a number"),
        ({"user": "ann", "issued_before": -1}, "issued_before: too small, at least 0"),
        ({"user": "ann", "issued_before": 1.8e12}, None),
        (b'{"user": "ann", "issued_before": NaN}', None),
        (b'{"user": "ann", "expires_at": Infinity}', None),
        ({"user": "ann", "expires_at": 1.8e12}, None),
        ({"user": "ann", "expires_at": 0}, "expires_at: has passed"),
        ({"user": "ann", "expires_at": 1_000_000_000}, "expires_at: has passed"),
        ({"user": "ann", "expires_at": "2030-01-01"}, "expires_at: not a number"),
        ({"token": "hunter2"}, "unknown key"),
        ({"jit": "hunter2"}, "unknown key (did you mean 'jti'?)"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, str) else "",
)
async def test_a_malformed_body(
    client: Any, body: Any, message: str | None, issue: Callable[..., str]
) -> None:
    """Each fault is told in a line, without what the body held; nothing is revoked."""
    async with client.open(issue()) as connection:
        status, answer = await client.post("/api/revoke", body)
        assert (status, answer["error"], set(answer)) == (400, "bad_request", {"error", "message"})
        if message is not None:
            assert message in {answer["message"], answer["message"].partition("; ")[2]}
        assert "hunter2" not in answer["message"]
        assert len(client.server.node.revocations) == 0
        await connection.send(issue())
        assert await connection.recv() == "renewed"


async def test_no_room(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the limit the answer is 503, so that the caller knows that nothing was revoked."""
    monkeypatch.setattr(revocations_module, "MOST_REVOCATIONS", 1)
    await client.revoke(jti="t-1")
    status, answer = await client.post("/api/revoke", {"jti": "t-2"})
    assert (status, answer) == (
        503,
        {"error": "too_many_revocations", "message": "too many revocations, limit 1"},
    )
    assert await client.revoke(jti="t-1", expires_at=time.time() + 100) == 0
    assert len(client.server.node.revocations) == 1
