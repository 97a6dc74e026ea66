"""Tests of the keys that issuers publish: when they are fetched, and whose they are."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OTHER = "https://other.test"

ACCEPTED = b"HTTP/1.1 101 "
REFUSED = REFUSALS["unauthorized"].to_bytes()
UNAVAILABLE = REFUSALS["auth_unavailable"].to_bytes()


class TestFetching:
    """What is asked of an issuer, and when."""

    async def test_keys_are_fetched_once(
        self, serve_who, published, knock, key_servers, key, jwk, mint, until
    ) -> None:
        """The keys are there before the first token comes, and each token costs no request."""
        keys = await key_servers()
        keys.publish(jwk(key(), kid="main"))
        server = await serve_who(jwt={"issuers": [published(keys)]})
        await until(lambda: keys.requests)
        for _ in range(3):
            assert (await knock(server, mint(key(), header={"kid": "main"}))).startswith(ACCEPTED)
            assert await knock(server, mint(key(name="another"), header={"kid": "main"})) == REFUSED
        (request,) = keys.requests
        assert request.startswith(b"GET /keys HTTP/1.1\r\n")
        assert b"cookie" not in request.lower()

    async def test_keys_over_tls(
        self, serve_who, issuer, knock, key_servers, key, jwk, mint, authority_file: Path
    ) -> None:
        """The server's certificate must come from the authorities of the settings."""
        keys = await key_servers(tls=True)
        keys.publish(jwk(key(), kid="main"))
        trusted = issuer(jwks={"url": keys.url, "server_ca": str(authority_file)})
        server = await serve_who(jwt={"issuers": [trusted]})
        assert (await knock(server, mint(key(), header={"kid": "main"}))).startswith(ACCEPTED)

    async def test_each_kind_of_key(
        self, serve_who, published, knock, key_servers, key, jwk, mint, subtests: pytest.Subtests
    ) -> None:
        """A set may hold keys of all kinds; a token without an id is tried with those that fit."""
        kinds = {
            "RS256": "RSA-2048",
            "ES256": "P-256",
            "ES384": "P-384",
            "ES512": "P-521",
            "EdDSA": "Ed25519",
        }
        keys = await key_servers()
        keys.publish(*(jwk(key(kind), kid=alg, alg=alg, use="sig") for alg, kind in kinds.items()))
        server = await serve_who(jwt={"issuers": [published(keys) | {"algorithms": list(kinds)}]})
        for alg, kind in kinds.items():
            with subtests.test(alg=alg):
                assert (await knock(server, mint(key(kind), alg, header={"kid": alg}))).startswith(ACCEPTED)
                assert (await knock(server, mint(key(kind), alg))).startswith(ACCEPTED)
                other = next(name for name in kinds if name != alg)
                assert await knock(server, mint(key(kind), alg, header={"kid": other})) == REFUSED

    async def test_a_new_key_is_found_when_it_is_needed(
        self, serve_who, published, knock, key_servers, key, jwk, mint
    ) -> None:
        """An id that is not known has the keys fetched anew; what is withdrawn is believed no more."""
        keys = await key_servers()
        keys.publish(jwk(key(name="old"), kid="old"))
        server = await serve_who(jwt={"issuers": [published(keys, min_interval_seconds=0.001)]})
        assert (await knock(server, mint(key(name="old"), header={"kid": "old"}))).startswith(ACCEPTED)
        keys.publish(jwk(key(name="new"), kid="new"))
        assert (await knock(server, mint(key(name="new"), header={"kid": "new"}))).startswith(ACCEPTED)
        assert await knock(server, mint(key(name="old"), header={"kid": "old"})) == REFUSED

    async def test_keys_are_fetched_ahead_of_need(
        self, serve_who, published, knock, key_servers, key, jwk, mint, until, fetches
    ) -> None:
        """The keys are fetched again before they are asked for, so that no client waits."""
        keys = await key_servers()
        keys.publish(jwk(key(name="old"), kid="old"))
        settings = published(keys, refresh_seconds=1, min_interval_seconds=3600)
        server = await serve_who(jwt={"issuers": [settings]})
        await until(lambda: len(keys.requests) == 1)
        keys.publish(jwk(key(name="new"), kid="new"))
        await until(lambda: len(keys.requests) == 2)
        await keys.stop()
        token = mint(key(name="new"), header={"kid": "new"})
        await until(lambda: len(fetches(server, "jwks_fetched")) == 2)
        assert (await knock(server, token)).startswith(ACCEPTED)

    async def test_unknown_ids_are_asked_for_at_a_limited_rate(
        self, serve_who, published, knock, key_servers, key, jwk, mint
    ) -> None:
        """However many ids attackers make up, the issuer is not asked more often."""
        keys = await key_servers()
        keys.publish(jwk(key(), kid="main"))
        server = await serve_who(jwt={"issuers": [published(keys, min_interval_seconds=3600)]})
        answers = await asyncio.gather(
            *(knock(server, mint(key(), header={"kid": f"made-up-{number}"})) for number in range(30))
        )
        assert set(answers) == {REFUSED}
        assert len(keys.requests) == 1
        assert (await knock(server, mint(key(), header={"kid": "main"}))).startswith(ACCEPTED)

    async def test_all_who_wait_share_one_fetch(
        self, serve_who, published, knock, key_servers, key, jwk, mint, until
    ) -> None:
        """A fetch under way serves everyone, and goes on when one of them leaves."""
        keys = await key_servers()
        go = asyncio.Event()
        document = json.dumps({"keys": [jwk(key(), kid="main")]}).encode()

        async def hold(writer: asyncio.StreamWriter) -> None:
            await go.wait()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n".encode()
            await keys.write(writer, head + document)

        keys.behave = hold
        server = await serve_who(jwt={"issuers": [published(keys)]})
        await until(lambda: keys.requests)
        token = mint(key(), header={"kid": "main"})
        waiting = [asyncio.create_task(knock(server, token)) for _ in range(10)]
        await until(lambda: sum(task.get_name() == "gateway handler" for task in asyncio.all_tasks()) >= 10)
        waiting[0].cancel()
        go.set()
        for answer in await asyncio.gather(*waiting[1:]):
            assert answer.startswith(ACCEPTED)
        assert len(keys.requests) == 1

    async def test_a_stop_does_not_wait_for_an_issuer(
        self, tmp_path: Path, published, key_servers, until
    ) -> None:
        """The gateway ends though an issuer does not answer."""
        from gateway.testing import serve  # noqa: PLC0415 - only here

        keys = await key_servers()

        async def never(writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        keys.behave = never
        settings = {"authentication": {"jwt": {"issuers": [published(keys, timeout_seconds=60)]}}}
        async with asyncio.timeout(5):
            async with serve(tmp_path, json.dumps(settings)):
                await until(lambda: keys.requests)


class TestIssuers:
    """Each issuer has its own keys."""

    async def test_two_issuers_with_the_same_id(
        self, serve_who, published, knock, key_servers, key, jwk, mint
    ) -> None:
        """An id means another key with each issuer, whichever was fetched or used first."""
        first, second = await key_servers(), await key_servers()
        first.publish(jwk(key(name="first"), kid="main"))
        second.publish(jwk(key(name="second"), kid="main"))
        settings = [published(first), published(second) | {"issuer": OTHER}]
        server = await serve_who(jwt={"issuers": settings})
        for _ in range(2):
            for name, iss, good in (
                ("first", None, True),
                ("first", OTHER, False),
                ("second", OTHER, True),
                ("second", None, False),
            ):
                claims = {} if iss is None else {"iss": iss}
                answer = await knock(server, mint(key(name=name), header={"kid": "main"}, **claims))
                assert answer.startswith(ACCEPTED) if good else answer == REFUSED, (name, iss)

    async def test_one_issuers_outage_is_not_the_others(
        self, serve_who, published, knock, key_servers, key, jwk, mint
    ) -> None:
        """An issuer that is down costs the tokens of the others nothing."""
        up, down = await key_servers(), await key_servers()
        up.publish(jwk(key(), kid="main"))
        await down.stop()
        server = await serve_who(jwt={"issuers": [published(up), published(down) | {"issuer": OTHER}]})
        assert await knock(server, mint(key(), header={"kid": "main"}, iss=OTHER)) == UNAVAILABLE
        assert (await knock(server, mint(key(), header={"kid": "main"}))).startswith(ACCEPTED)

    async def test_keys_of_the_file_need_no_issuer(
        self, serve_who, published, knock, key_servers, key, pem, mint
    ) -> None:
        """A key that the configuration has is good though the issuer is down."""
        keys = await key_servers()
        await keys.stop()
        settings = published(keys) | {"keys": [{"id": "mine", "public_key": pem(key())}]}
        server = await serve_who(jwt={"issuers": [settings]})
        assert (await knock(server, mint(key(), header={"kid": "mine"}))).startswith(ACCEPTED)
        assert await knock(server, mint(key(), header={"kid": "other"})) == UNAVAILABLE
