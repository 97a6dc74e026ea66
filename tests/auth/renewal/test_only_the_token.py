"""Tests of renewals: nothing but the token counts, and the hooks have the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway import Identity, Refusal, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.testing import Served

FIRST, SECOND, BOBS = "tok-" + "ann-1", "tok-" + "ann-2", "tok-" + "bob-1"


class TestOnlyTheTokenCounts:
    """Nothing that the client sent at its opening handshake helps a renewal."""

    @pytest.mark.parametrize(
        "text",
        [
            "a\r\nX-User: root",
            "a\nX-User: root",
            "a b",
            "a,b",
            "Bearer a",
            "a\x00",
            "a\x7f",
            "ä",
            "a;b",
            '"a"',
            "=",
            "\u2028",
        ],
    )
    async def test_what_no_header_could_carry(
        self, server: Served, text: str, say: Callable[..., Any]
    ) -> None:
        """A text that is no bearer token is refused before any way sees it (RFC 6750 section 2.1)."""
        async with server.connect(
            "/seen?token=a", origin="https://app.test", additional_headers={}
        ) as client:
            assert await say(client, text) == ["refused", 401, "unauthorized", "no bearer token"]
            assert len(server.node.seen.openings) == 1
            assert "root" not in server.stream.getvalue()

    @pytest.mark.parametrize("value", [None, b"tok", 5, ["tok"], ""])
    async def test_what_is_no_text(
        self, server: Served, value: Any, bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """A binary message that a handler passes on, or nothing at all, is refused like any bad token."""
        async with server.connect("/token", **bearer(FIRST)) as client:
            assert await say(client, "hello")
            (connection,) = server.node.connections()
            with pytest.raises(Refused) as caught:
                await connection.refresh(value)
            assert caught.value.detail == "no bearer token"

    async def test_what_a_way_sees(self, server: Served, plugin: Any, say: Callable[..., Any]) -> None:
        """A way sees the token as if it had come in the header, and no other credential."""
        headers = {
            "Authorization": "Bearer OLD-same",
            "Cookie": "session=OLD-same; other=OLD-other",
            "X-Api-Key": "OLD-key",
            "X-Forwarded-User": "OLD-user",
            "Accept-Language": "de",
        }
        async with server.connect(
            "/seen?token=OLD-same&key=OLD-query",
            origin="https://app.test",
            subprotocols=["chat", "bearer.OLD-same"],
            user_agent_header="agent/1",
            additional_headers=headers,
        ) as client:
            assert (await say(client, "NEW"))[0] == "renewed"
        opening, renewal = server.node.seen.openings
        assert "OLD-key" in str(opening)
        assert "OLD" not in str(renewal)
        assert renewal == {
            "fields": {
                "host": [f"localhost:{server.port}"],
                "origin": ["https://app.test"],
                "user-agent": ["agent/1"],
                "accept-language": ["de"],
                "authorization": ["Bearer NEW"],
            },
            "query": ["", {}],
            "cookies": {},
            "credential": ("NEW", "header"),
            "certificate": None,
            "where": ["/seen", "127.0.0.1", "chat", "/seen"],
        }
        _, (identity, fields) = plugin.admitted
        assert identity == Identity("ann")
        assert (fields["authorization"], fields["x-api-key"]) == (["Bearer NEW"], ["OLD-key"])

    async def test_a_ticket_is_not_used_again(
        self, server: Served, issue: Callable[..., str], say: Callable[..., Any]
    ) -> None:
        """A ticket opens one connection, and is not shown again with the token that renews it."""
        tickets = dict(server.gateway._ways)["ticket"]._tickets
        ticket, _ = tickets.issue(Identity("ann"), seconds=10)
        async with server.connect(f"/tickets/a?ticket={ticket}") as client:
            assert await say(client, issue()) == ["renewed", "ann", []]

    async def test_a_path_parameter_is_no_query(
        self, server: Served, issue: Callable[..., str], bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """What follows a question mark within a path parameter is not taken for a query of credentials."""
        async with server.connect("/tickets/a%3Fticket=abc", **bearer(issue())) as client:
            (connection,) = server.node.connections()
            assert connection.params["a"] == "a?ticket=abc"
            assert await say(client, issue()) == ["renewed", "ann", []]

    async def test_admission_has_the_last_word(
        self, server: Served, plugin: Any, bearer: Callable[..., Any], say: Callable[..., Any]
    ) -> None:
        """A plugin's refusal refuses the renewal; the hook knows who it is."""
        async with server.connect("/token", **bearer(FIRST)) as client:
            plugin.refuses = Refusal(409, "not_again", "no")
            assert await say(client, SECOND) == ["refused", 409, "not_again", "plugin test-0"]
            assert [identity.token_id for identity, _ in plugin.admitted] == ["first", "second"]
            assert await say(client, BOBS) == ["refused", 403, "forbidden", "the token proves another user"]
            assert len(plugin.admitted) == 2, "nobody is asked about another user's token"
            (connection,) = server.node.connections()
            assert connection.identity.token_id == "first"
