"""Tests of the limits on connections and opening handshakes, without sockets."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import Identity
from gateway.config.models import ListenConfig, RouteConfig
from gateway.protocol.refusals import Refused
from gateway.server.limits import Admissions

HERE, THERE = "192.0.2.1", "2001:db8:1:2::1"
ADA, BOB = Identity("ada"), Identity("bob")


def route(limit: int = 0, path: str = "/a") -> Any:
    """Make a route of one limit."""
    return SimpleNamespace(config=RouteConfig(path=path, max_connections=limit), name=path)


class Door:
    """Opening handshakes as the gate lets them through: judged, and counted in the same turn."""

    def __init__(self, *, route: Any = route(), others: Any = None, **limits: Any) -> None:  # noqa: B008
        self.now = 1000.0
        supplier = {} if others is None else {"others": others}
        self.admissions = Admissions(ListenConfig(**limits), clock=lambda: self.now, **supplier)
        self.route = route

    def enter(self, remote: str = HERE, identity: Identity | None = None, *, route: Any = None) -> Any:
        """Give a connection, or raise its refusal."""
        connection = SimpleConnection(remote, identity)
        chosen = route or self.route
        self.admissions.knock(remote)
        self.admissions.check(remote, chosen, identity)
        self.admissions.admit(connection, chosen)  # type: ignore[arg-type]
        return connection

    def refusal(self, *arguments: Any, **options: Any) -> tuple[int, str, int]:
        """Give status, error and Retry-After with which one is refused."""
        with pytest.raises(Refused) as caught:
            self.enter(*arguments, **options)
        refusal = caught.value.refusal
        return refusal.status, refusal.error, int(dict(refusal.headers)["Retry-After"])

    @property
    def empty(self) -> bool:
        """Whether nothing is kept of any connection."""
        return not self.admissions._counts and not self.admissions._held


class SimpleConnection:
    """What the limits look at of a connection."""

    def __init__(self, remote: str, identity: Identity | None) -> None:
        self.remote = remote
        self.identity = identity


def test_nothing_is_kept_by_default() -> None:
    """With no limit by address, user or route nothing is counted, and any number may come from one."""
    door = Door()
    connections = [door.enter(HERE, ADA) for _ in range(2000)]
    assert door.empty
    for connection in connections:
        door.admissions.release(connection)
    assert door.empty


def test_connections_per_address() -> None:
    """One address gets so many connections; an end makes room, and other addresses have theirs."""
    door = Door(max_connections_per_address=2)
    first, _ = door.enter(), door.enter()
    assert door.refusal() == (429, "too_many_connections_from_address", 5)
    door.enter("192.0.2.2")
    door.admissions.release(first)
    door.enter()
    assert door.refusal() == (429, "too_many_connections_from_address", 5)
    assert door.admissions.count("address", HERE) == 2


def test_network_of_64_bits_is_one_address() -> None:
    """A client that has a whole IPv6 network gains nothing by changing addresses within it."""
    door = Door(max_connections_per_address=2)
    door.enter("2001:db8:1:2::1")
    door.enter("2001:db8:1:2:ffff::1")
    assert door.refusal("2001:db8:1:2::3")[1] == "too_many_connections_from_address"
    door.enter("2001:db8:1:3::1")


def test_connections_per_user() -> None:
    """One user gets so many connections, from wherever; who has no identity is not counted."""
    door = Door(max_connections_per_user=2)
    first, _ = door.enter(HERE, ADA), door.enter(THERE, Identity("ada", proved_by="other"))
    assert door.refusal(HERE, ADA) == (429, "too_many_connections_of_user", 5)
    door.enter(HERE, BOB)
    for _ in range(5):
        door.enter(HERE)
    door.admissions.release(first)
    door.enter(HERE, ADA)


def test_connections_per_route() -> None:
    """One route takes so many connections, from whomever, and another route as many as it says."""
    full, free = route(2), route(0, "/b")
    door = Door(route=full)
    first, _ = door.enter(), door.enter(THERE)
    assert door.refusal("192.0.2.9") == (503, "too_many_connections_on_route", 5)
    for _ in range(5):
        door.enter(route=free)
    door.admissions.release(first)
    door.enter()


def test_release_is_of_what_was_counted() -> None:
    """A connection gives back what it was counted for, once, though its identity changed meanwhile."""
    door = Door(max_connections_per_address=5, max_connections_per_user=5, route=route(5))
    connection = door.enter(HERE, ADA)
    other = door.enter(HERE, BOB)
    connection.identity = BOB
    door.admissions.release(connection)
    assert (door.admissions.count("user", "ada"), door.admissions.count("user", "bob")) == (0, 1)
    door.admissions.release(connection)
    assert door.admissions.count("address", HERE) == 1
    door.admissions.release(other)
    assert door.empty


def test_names_of_different_kinds() -> None:
    """A user whose name is an address is not that address."""
    door = Door(max_connections_per_address=1, max_connections_per_user=2)
    door.enter(THERE, Identity(HERE))
    door.enter(HERE)


def test_others_count_too() -> None:
    """What other nodes have is added, where something tells."""
    asked = []

    def others(key: tuple[str, str]) -> int:
        kind, name = key
        asked.append((kind, name))
        return 3

    door = Door(max_connections_per_address=4, max_connections_per_user=4, route=route(4), others=others)
    door.enter(THERE, ADA)
    assert asked == [("route", "/a"), ("address", "2001:db8:1:2::/64"), ("user", "ada")]
    assert door.refusal(HERE, BOB)[1] == "too_many_connections_on_route"


def test_rate_of_an_address() -> None:
    """One address may knock so fast, over time; the answer says when it may again."""
    door = Door(handshakes_per_second_per_address=0.1, handshake_burst_per_address=3)
    for _ in range(3):
        door.enter()
    assert door.refusal() == (429, "too_many_requests", 10)
    door.now += 9.5
    assert door.refusal() == (429, "too_many_requests", 1)
    door.enter("192.0.2.2")
    door.now += 0.6
    door.enter()
    assert door.refusal() == (429, "too_many_requests", 10)


def test_rate_of_a_network_of_64_bits() -> None:
    """Addresses of one IPv6 network knock at one rate."""
    door = Door(handshakes_per_second_per_address=1)
    door.enter("2001:db8:1:2::1")
    assert door.refusal("2001:db8:1:2::2")[1] == "too_many_requests"
    door.enter("2001:db8:1:3::1")


def test_rate_of_all() -> None:
    """All together may knock so fast as well, whoever they are."""
    door = Door(handshakes_per_second=2)
    door.enter(HERE)
    door.enter(THERE)
    assert door.refusal("192.0.2.9") == (503, "too_many_handshakes", 1)
    door.now += 0.5
    door.enter("192.0.2.9")


def test_token_is_taken_from_both_or_none() -> None:
    """A flood from one address takes nothing from the others, and one of all nothing from each."""
    door = Door(handshakes_per_second=10, handshakes_per_second_per_address=1)
    for _ in range(50):
        with suppress(Refused):
            door.enter(HERE)
    for number in range(9):
        door.enter(f"192.0.2.{number + 10}")
    assert door.refusal("192.0.2.99")[1] == "too_many_handshakes"
    door.now += 0.1
    door.enter("192.0.2.99")


def test_handshake_that_is_refused_later_counts_for_the_rate_alone() -> None:
    """Who is refused for want of room has knocked, and holds nothing."""
    door = Door(max_connections_per_address=1, handshakes_per_second_per_address=3)
    door.enter()
    for _ in range(2):
        assert door.refusal()[1] == "too_many_connections_from_address"
    assert door.refusal()[1] == "too_many_requests"
    assert door.admissions.count("address", HERE) == 1


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([HERE, THERE, "2001:db8:1:2::2"]), st.sampled_from([None, ADA, BOB]), st.booleans()
    ),
    max_size=60,
)


@given(EVENTS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_counts_are_those_of_the_connections(
    events: list[tuple[str, Identity | None, bool]], per_address: int, per_user: int, on_route: int
) -> None:
    """However connections come and go, no limit is passed, none is refused below it, and nothing stays."""
    door = Door(
        max_connections_per_address=per_address, max_connections_per_user=per_user, route=route(on_route)
    )
    inside: list[Any] = []
    for remote, identity, leaves in events:
        if leaves and inside:
            door.admissions.release(inside.pop(0))
        full = [
            on_route and len(inside) >= on_route,
            per_address and sum((one.remote == HERE) == (remote == HERE) for one in inside) >= per_address,
            per_user and identity and sum(one.identity is identity for one in inside) >= per_user,
        ]
        if any(full):
            door.refusal(remote, identity)
        else:
            inside.append(door.enter(remote, identity))
    for connection in inside:
        door.admissions.release(connection)
    assert door.empty
