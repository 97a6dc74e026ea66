"""Tests of tickets by themselves: made, read, and forged."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from gateway import Identity, Refused
from gateway.auth.tickets import LEEWAY_SECONDS, Tickets, TicketTooBigError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "a secret of thirty-two bytes, or so"
ANN = Identity(
    "ann ü",
    {"role": "admin", "teams": ["x"]},
    expires_at=4e9,
    proved_by="jwt",
    groups=("staff",),
    token_id="t-7",
    issued_at=1.5e9,
)


def detail_of(tickets: Tickets, ticket: str) -> str:
    """Read a ticket that is refused; give what the log says."""
    with pytest.raises(Refused) as caught:
        tickets.read(ticket)
    assert caught.value.refusal.error == "unauthorized"
    assert ticket not in caught.value.detail
    return caught.value.detail


def test_a_ticket_carries_the_identity() -> None:
    """Another node with the same secret reads who it was, and until when; tickets have ids of their own."""
    before = time.time()
    text, seconds = Tickets(SECRET).issue(ANN, seconds=10, routes=["live"])
    ticket = Tickets(SECRET).read(text)
    assert ticket.identity == Identity(
        ANN.user,
        ANN.claims,
        expires_at=4e9,
        proved_by="ticket",
        groups=("staff",),
        token_id="t-7",
        issued_at=1.5e9,
    )
    assert (seconds, ticket.routes) == (10, ("live",))
    assert before + 10 <= ticket.ends_at <= time.time() + 11 + LEEWAY_SECONDS
    assert ticket.id != Tickets(SECRET).read(Tickets(SECRET).issue(ANN, seconds=10)[0]).id


def test_a_bare_identity_comes_back_bare() -> None:
    """What an identity does not have, the ticket's has not either."""
    ticket = Tickets(SECRET).read(Tickets(SECRET).issue(Identity("bob"), seconds=10)[0])
    assert ticket.identity == Identity("bob", {}, proved_by="ticket")
    assert ticket.routes == ()


def test_a_ticket_does_not_outlive_its_identity() -> None:
    """The ticket is good for no longer than the identity; one that has ended gets none."""
    _, seconds = Tickets(SECRET).issue(Identity("bob", expires_at=time.time() + 3), seconds=10)
    assert 2 < seconds <= 3
    with pytest.raises(Refused, match="identity has ended"):
        Tickets(SECRET).issue(Identity("bob", expires_at=time.time()), seconds=10)


def test_a_ticket_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its seconds, and what the clocks of nodes may differ, a ticket is good nowhere."""
    tickets = Tickets(SECRET)
    text, _ = tickets.issue(ANN, seconds=10)
    ends_at = tickets.read(text).ends_at
    # PyJWT has its clock from datetime, which cannot be set: so the ticket is made in the past.
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - (ends_at - now) - 1)
    text, _ = tickets.issue(ANN, seconds=10)
    assert "ExpiredSignatureError" in detail_of(tickets, text)
    monkeypatch.setattr(time, "time", lambda: now + LEEWAY_SECONDS + 5)
    text, _ = tickets.issue(ANN, seconds=10)
    assert "ImmatureSignatureError" in detail_of(tickets, text)


def test_a_big_identity_gets_no_ticket() -> None:
    """What would not fit into the head of a request is told when the ticket is asked for."""
    with pytest.raises(TicketTooBigError, match="limit 4096") as caught:
        Tickets(SECRET).issue(Identity("bob", {"x": "x" * 4000}), seconds=10)
    assert caught.value.size > 4096
    assert len(Tickets(SECRET).issue(Identity("bob", {"x": "x" * 2800}), seconds=10)[0]) <= 4096


def resigned(change: Callable[[dict[str, Any], dict[str, Any]], None], key: bytes | None = None) -> str:
    """Sign a good ticket anew, with something changed."""
    tickets = Tickets(SECRET)
    good = jwt.decode_complete(tickets.issue(ANN, seconds=10)[0], options={"verify_signature": False})
    header, payload = dict(good["header"]), dict(good["payload"])
    change(header, payload)
    algorithm = header.pop("alg")
    return jwt.encode(payload, key if key is not None else tickets._key, algorithm, headers=header)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header.update(typ="JWT"),
        lambda header, _: header.pop("typ"),
        lambda _, payload: payload.update(aud="someone"),
        lambda _, payload: payload.update(aud=["gateway-ticket", "other"]),
        lambda _, payload: payload.pop("aud"),
        lambda _, payload: payload.pop("exp"),
        lambda _, payload: payload.pop("iat"),
        lambda _, payload: payload.pop("jti"),
        lambda _, payload: payload.pop("sub"),
        lambda _, payload: payload.update(sub=7),
        lambda _, payload: payload.update(claims=[]),
        lambda _, payload: payload.update(groups="staff"),
        lambda _, payload: payload.update(ends="never"),
        lambda _, payload: payload.update(admin=True),
    ],
)
def test_what_is_not_our_form_is_refused(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Even with the right key only what tickets look like is one."""
    assert detail_of(Tickets(SECRET), resigned(change))
    assert Tickets(SECRET).read(resigned(lambda _header, _payload: None)).identity.user == ANN.user


def test_a_foreign_key_is_refused() -> None:
    """Another secret, the secret itself instead of the key made from it, or no signature make no ticket."""
    tickets = Tickets(SECRET)
    assert detail_of(tickets, Tickets(SECRET + "!").issue(ANN, seconds=10)[0])
    assert detail_of(tickets, resigned(lambda _header, _payload: None, SECRET.encode()))
    head, body, signature = tickets.issue(ANN, seconds=10)[0].split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "gateway-ticket"}).encode())
    for forged in (
        f"{none.decode().rstrip('=')}.{body}.",
        f"{none.decode().rstrip('=')}.{body}.{signature}",
        f"{head}.{body}.",
        f"{head}.{body[:-4]}AAAA.{signature}",
        f"{head}.{body}",
        "x",
        "..",
        "ü.ü.ü",
        "x" * 5000,
        f"{head}.{body}.{signature}" + "A" * 4096,
    ):
        assert detail_of(tickets, forged)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_other_algorithms_are_refused() -> None:
    """A ticket that the right key has signed in another way is none."""
    assert detail_of(Tickets(SECRET), resigned(lambda header, _: header.update(alg="HS512")))
