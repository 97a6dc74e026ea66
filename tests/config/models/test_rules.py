from __future__ import annotations

import pytest

from gateway.config.models.base import Finding
from gateway.config.models.rules import (
    cookie_findings,
    cookie_place,
    repeat_findings,
    route_findings,
    routes_findings,
    subprotocol_findings,
    unix_findings,
)


def test_route_findings() -> None:
    """A group template may name the path's parameters and the user, nothing else."""
    groups = ["{room}", "{user}", "x:{nope}:{room}:{no}", None]
    fact = "group template names no parameter of the path"
    assert route_findings("/chat/{room}", groups) == [
        Finding(("groups", 2), fact, "{nope}"),
        Finding(("groups", 2), fact, "{no}"),
    ]


def test_route_without_a_judgeable_path() -> None:
    """Without the path nothing is held against the groups."""
    assert route_findings(None, ["{nope}"]) == []


def test_subprotocol_findings() -> None:
    """A required subprotocol needs one to choose."""
    assert subprotocol_findings(required=True, offered=1) == []
    assert subprotocol_findings(required=False, offered=0) == []
    (finding,) = subprotocol_findings(required=True, offered=0)
    assert finding.path == ("require_subprotocol",)


def test_unix_findings() -> None:
    """A unix-domain socket is in place of an address, and what is said of it needs one."""
    assert unix_findings({"unix", "unix_mode", "backlog"}, ["unix", "10.0.0.0/8"]) == []
    assert [one.path for one in unix_findings({"unix", "host", "port"}, [])] == [("host",), ("port",)]
    assert unix_findings({"host", "port"}, ["10.0.0.0/8", None]) == []
    found = unix_findings({"host", "unix_mode"}, [None, "unix"])
    assert [one.path for one in found] == [("trusted_proxies", 1), ("unix_mode",)]


def test_routes_findings() -> None:
    """A path or a name that is taken is found at the later route."""
    routes = [("/a/{x}", "one"), ("/a/{y}", "two"), ("/b", "one"), (None, None), (None, "two")]
    assert routes_findings(routes) == [
        Finding(("routes", 1, "path"), "path taken by another route", "/a/{y}", ", first used by routes[0]"),
        Finding(("routes", 2, "name"), "route name taken", "one", ", first used by routes[0]"),
        Finding(("routes", 4, "name"), "route name taken", "two", ", first used by routes[1]"),
    ]


def test_unnamed_routes_of_one_path_are_one_mistake() -> None:
    """The name that is the path is not told a second time."""
    assert [finding.path for finding in routes_findings([("/a", "/a"), ("/a", "/a")])] == [
        ("routes", 1, "path")
    ]


def test_name_that_is_the_path_of_another_route() -> None:
    """A name that another route has by default is taken."""
    assert [finding.path for finding in routes_findings([("/a", "/a"), ("/b", "/a")])] == [
        ("routes", 1, "name")
    ]


def test_repeat_findings() -> None:
    """Repeated entries are found after the first, a secret without its value."""
    assert repeat_findings(("x",), "name", ["a", None, "a", None], "taken") == [
        Finding(("x", 2, "name"), "taken", "a", ", first used by entry 0"),
    ]
    assert repeat_findings((), "token", ["a", "a"], "taken", secret=True) == [
        Finding((1, "token"), "taken", None, ", first used by entry 0"),
    ]


@pytest.mark.parametrize(
    ("ways", "places", "found"),
    [
        ([], ["cookie:a"], None),
        (["token"], ["header", "query:a"], None),
        (["token", "cookie"], ["header"], ("authenticate", 1)),
        (["token"], [None, "cookie:a"], ("credentials_from", 1)),
        ([None], ["cookie:a"], ("credentials_from", 0)),
    ],
)
def test_cookie_place(
    ways: list[str | None], places: list[str | None], found: tuple[str | int, ...] | None
) -> None:
    """A cookie proves an identity by the way of that name, or as a place of another way's credential."""
    assert cookie_place(ways, places) == found


def test_cookie_findings() -> None:
    """Where a cookie proves the identity, the origins are listed, each by itself."""
    place = ("authenticate", 0)
    assert cookie_findings(place, origins=["https://a.example", None], missing=False) == []
    assert [one.path for one in cookie_findings(place, origins=None, missing=False)] == [place]
    found = cookie_findings(place, origins=["https://a.example", "*"], missing=True)
    assert [one.path for one in found] == [("allowed_origins", 1), ("allow_missing_origin",)]
