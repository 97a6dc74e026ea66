"""Tests of renewals: a newer token for a connection that is open, and everything that is none."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from gateway.core.revocations import Revocation

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.testing import Served

PATIENCE_SECONDS = 30
FIRST, SECOND, BOBS = "tok-" + "ann-1", "tok-" + "ann-2", "tok-" + "bob-1"


class TestOutliving:
    """A renewed connection goes by the newer token, and another one by the first."""

    async def test_jwt(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """Of those opened with one token, the renewed one lives on; those refused end with 4401."""
        first = issue(seconds=1.5)
        now = time.time()
        bad = {
            issue(secret="another secret of thirty-two bytes"): "jwt has a bad signature",
            issue(user="bob"): "the token proves another user",
            issue(seconds=0): "jwt has expired",
            issue(aud="other"): "jwt is for another audience",
            issue(nbf=now + 100): "jwt is not valid yet",
            issue(jti="gone"): "identity is revoked",
            issue(iat=now - 50): "identity is revoked",
            ".".join((*issue().split(".")[:2], issue(jti="x").split(".")[2])): "jwt has a bad signature",
            "no.jwt.atall": "jwt is malformed",
            FIRST: "no credentials",
        }
        for revocation in (
            Revocation("gone", None, 0, now + 100),
            Revocation(None, "ann", now - 50, now + 100),
        ):
            server.node.orders.revoke(revocation)
        async with (
            server.connect("/jwt", **bearer(first)) as renewed,
            server.connect("/jwt", **bearer(first)) as refused,
        ):
            assert await say(renewed, issue()) == ["renewed", "ann", ["all", "user:ann"]]
            for token, detail in bad.items():
                answer = await say(refused, token)
                status = [403, "forbidden"] if "another user" in detail else [401, "unauthorized"]
                assert answer == ["refused", *status, detail]
            assert await say(refused, "hello") == ["hello", "ann", ["all", "user:ann"]]
            async with asyncio.timeout(PATIENCE_SECONDS):
                await refused.wait_closed()
            assert (refused.close_code, refused.close_reason) == (4401, "identity expired")
            assert await say(renewed, "hello") == ["hello", "ann", ["all", "user:ann"]]
            assert server.node.closes == [(4401, "identity expired")]
            assert len(server.node.expiries) == 1
        lines = [line for line in server.log if line["event"] == "renewal_refused"]
        assert [line["detail"] for line in lines] == list(bad.values())
        assert {(line["level"], line["route"], bool(line["connection"])) for line in lines} == {
            ("info", "/jwt", True)
        }
        assert not any(token in server.stream.getvalue() for token in (first, *bad))

    async def test_a_sooner_end(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """The newer token's end holds, be it sooner: then the connection ends with it."""
        async with server.connect("/jwt", **bearer(issue())) as client:
            assert (await say(client, issue(seconds=1.5)))[0] == "renewed"
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.wait_closed()
            assert client.close_code == 4401

    async def test_token(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """A static key can be changed for another one of the user."""
        async with server.connect("/token", **bearer(FIRST)) as client:
            assert await say(client, "hello") == ["hello", "ann", ["staff"]]
            assert await say(client, "tok-wrong") == ["refused", 401, "unauthorized", "token fits no key"]
            assert await say(client, BOBS) == ["refused", 403, "forbidden", "the token proves another user"]
            assert await say(client, issue()) == ["refused", 401, "unauthorized", "no credentials"]
            assert await say(client, SECOND) == ["renewed", "ann", []]
            server.node.orders.revoke(Revocation("first", None, 0, time.time() + 100))
            detail = "identity is revoked"
            assert await say(client, FIRST) == ["refused", 401, "unauthorized", detail]
            server.node.orders.revoke(Revocation("second", None, 0, time.time() + 100))
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.wait_closed()
            assert client.close_code == 4403

    async def test_from_one_way_to_another(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """The route's ways judge in their order, as at the opening: a key may follow a JWT, a JWT a key."""
        async with server.connect("/both", **bearer(issue(seconds=1.5))) as client:
            assert await say(client, FIRST) == ["renewed", "ann", ["staff"]]
            (connection,) = server.node.connections()
            assert (connection.identity.proved_by, len(server.node.expiries)) == ("token", 0)
            assert await say(client, issue(groups=["guests"])) == ["renewed", "ann", ["guests"]]
            assert (connection.identity.proved_by, len(server.node.expiries)) == ("jwt", 1)
            assert connection.identity.claims["groups"] == ["guests"]

    async def test_a_route_that_asks_for_no_identity(
        self, server: Served, issue: Callable[..., str], say: Callable[..., Any]
    ) -> None:
        """Where there are no ways there is nothing to renew."""
        async with server.connect("/open") as client:
            detail = "the route asks for no identity"
            assert await say(client, issue()) == ["refused", 401, "unauthorized", detail]


class TestGroups:
    """Membership goes with the identity, as far as the identity is what it comes from."""

    async def test_groups_follow_the_token(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """Groups of the former token alone are left, those of the newer one are joined, the route's stay."""
        async with server.connect("/jwt", **bearer(issue(groups=["red", "blue"]))) as client:
            assert (await say(client, "hello"))[2] == ["all", "user:ann", "red", "blue"]
            assert (await say(client, issue(groups=["blue", "green"])))[2] == [
                "all",
                "user:ann",
                "blue",
                "green",
            ]
            assert server.node.publish("red", "x") == 0
            assert server.node.publish("green", '"for green"') == 1
            assert json.loads(await client.recv()) == "for green"
            assert (await say(client, issue()))[2] == ["all", "user:ann"]

    async def test_a_group_of_the_route_in_the_token(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """A group that the token names and the route has too, is not left with the token."""
        async with server.connect("/jwt", **bearer(issue(groups=["all"]))) as client:
            assert (await say(client, issue()))[2] == ["all", "user:ann"]

    async def test_what_handlers_have_left_stays_so(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """A renewal does not bring a connection back into a group that a handler took it out of."""
        async with server.connect("/jwt", **bearer(issue(groups=["red"]))) as client:
            await client.send("leave all")
            await client.send("leave red")
            assert (await say(client, issue(groups=["red", "blue"])))[2] == ["user:ann", "blue"]
