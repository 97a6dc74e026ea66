from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic_core import PydanticCustomError

from gateway.config.models.forms import (
    check_file_mode,
    check_group_pattern,
    check_group_template,
    check_origin,
    check_path,
    check_place,
    check_subprotocol,
    is_bearer_token,
    is_loopback,
    parameters_of,
    shape_of,
)
from gateway.config.showing import show

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("check", "value"),
    [
        (check_file_mode, "0660"),
        (check_file_mode, "777"),
        (check_path, "/"),
        (check_path, "/live"),
        (check_path, "/live/"),
        (check_path, "/chat/{room}"),
        (check_path, "/{a}/x.y_z~1/{b_2}"),
        (check_path, "/a:b@c;d=e"),
        (check_origin, "*"),
        (check_origin, "https://example.com"),
        (check_origin, "HTTPS://Example.COM:8443"),
        (check_origin, "https://*.example.com"),
        (check_origin, "https://*.localhost:1"),
        (check_origin, "http://127.0.0.1:8000"),
        (check_origin, "http://[::1]:8000"),
        (check_origin, "http://[::1]"),
        (check_origin, "chrome-extension://abcdef"),
        (check_origin, "https://a_b.example:65535"),
        (check_subprotocol, "chat.v1"),
        (check_subprotocol, "a!#$%&'*+-.^_`|~9"),
        (check_subprotocol, "bearer"),
        (check_place, "header"),
        (check_place, "subprotocol"),
        (check_place, "cookie:__Host-id"),
        (check_place, "query:access_token"),
        (check_group_template, "everyone"),
        (check_group_template, "room:{room}:{user}"),
        (check_group_template, "a$b"),
        (check_group_pattern, "room:*"),
        (check_group_pattern, "*"),
    ],
)
def test_good(check: Callable[[str], str], value: str) -> None:
    """A value in its form comes back unchanged."""
    assert check(value) == value


@pytest.mark.parametrize(
    ("check", "value", "fact"),
    [
        (check_subprotocol, "bearer.v1", "subprotocols that begin with 'bearer.' carry credentials"),
        (check_place, "", "place is not header, subprotocol, cookie:NAME or query:NAME"),
        (check_place, "Header", "place is not header, subprotocol, cookie:NAME or query:NAME"),
        (check_place, "header:x", "place is not header, subprotocol, cookie:NAME or query:NAME"),
        (check_place, "cookie", "place is not header, subprotocol, cookie:NAME or query:NAME"),
        (check_place, "cookie:", "name of a cookie is not an http token"),
        (check_place, "cookie:a b", "name of a cookie is not an http token"),
        (check_place, "query:", "name of a query parameter has a character that no url can have"),
        (check_place, "query:a&b", "name of a query parameter has a character that no url can have"),
        (check_file_mode, "", "not the permissions of a file in octal, such as '0660'"),
        (check_file_mode, "0680", "not the permissions of a file in octal, such as '0660'"),
        (check_file_mode, "4755", "not the permissions of a file in octal, such as '0660'"),
        (check_file_mode, "660\n", "not the permissions of a file in octal, such as '0660'"),
        (check_path, "", "path does not begin with '/'"),
        (check_path, "live", "path does not begin with '/'"),
        (check_path, "/a?b", "path has a query"),
        (check_path, "/a#b", "path has a fragment"),
        (check_path, "/a//b", "path has an empty segment"),
        (check_path, "//", "path has an empty segment"),
        (check_path, "/a/../b", "path holds '..'"),
        (check_path, "/a%2Fb", "path holds '%'"),
        (check_path, "/a/./b", "path holds a character or segment that no route can have"),
        (check_path, "/a b", "path holds a character or segment that no route can have"),
        (check_path, "/a\n", "path holds a character or segment that no route can have"),
        (check_path, "/é", "path holds a character or segment that no route can have"),
        (check_path, "/<room>", "path holds a character or segment that no route can have"),
        (check_path, "/a\\b", "path holds a character or segment that no route can have"),
        (check_path, "/x{room}", "path parameter is not a whole segment"),
        (check_path, "/{room}x", "path parameter is not a whole segment"),
        (check_path, "/{a}{b}", "path parameter is not a whole segment"),
        (check_path, "/{room", "path parameter is not a whole segment"),
        (check_path, "/room}", "path parameter is not a whole segment"),
        (check_path, "/{{room}}", "path parameter is not a whole segment"),
        (check_path, "/{}", "path parameter's name is not an identifier"),
        (check_path, "/{1a}", "path parameter's name is not an identifier"),
        (check_path, "/{a-b}", "path parameter's name is not an identifier"),
        (check_path, "/{a}/{a}", "path parameter named twice"),
        (check_path, "/{user}", "path parameter {user} would pass for the identity's user"),
        (check_origin, "", "origin is neither '*' nor scheme://host[:port]"),
        (check_origin, "null", "origin is neither '*' nor scheme://host[:port]"),
        (check_origin, "example.com", "origin is neither '*' nor scheme://host[:port]"),
        (check_origin, "*://example.com", "origin is neither '*' nor scheme://host[:port]"),
        (check_origin, "https://example.com/", "origin has a path"),
        (check_origin, "https://me@example.com", "origin has user information"),
        (check_origin, "https://example.com?x", "origin has a query"),
        (check_origin, "https://example.com#x", "origin has a fragment"),
        (check_origin, "https://example.com:0", "origin's port is not between 1 and 65535"),
        (check_origin, "https://example.com:65536", "origin's port is not between 1 and 65535"),
        (check_origin, "https://example.com:", "origin's port is not between 1 and 65535"),
        (check_origin, "https://example.com:https", "origin's port is not between 1 and 65535"),
        (check_origin, "https://example.com:٣", "origin's port is not between 1 and 65535"),
        (check_origin, "https://example.com:" + "9" * 5000, "origin's port is not between 1 and 65535"),
        (check_origin, "https://", "origin's host is not a host name, '*.' and a host name, or an address"),
        (check_origin, "https://*", "origin's host is not a host name, '*.' and a host name, or an address"),
        (check_origin, "https://*.", "origin's host is not a host name, '*.' and a host name, or an address"),
        (
            check_origin,
            "https://a.*.com",
            "origin's host is not a host name, '*.' and a host name, or an address",
        ),
        (
            check_origin,
            "https://*example.com",
            "origin's host is not a host name, '*.' and a host name, or an address",
        ),
        (
            check_origin,
            "https://a..com",
            "origin's host is not a host name, '*.' and a host name, or an address",
        ),
        (
            check_origin,
            "https://exämple.com",
            "origin's host is not a host name, '*.' and a host name, or an address",
        ),
        (
            check_origin,
            "https://a.com\n",
            "origin's host is not a host name, '*.' and a host name, or an address",
        ),
        (check_subprotocol, "", "subprotocol is not an http token"),
        (check_subprotocol, "a b", "subprotocol is not an http token"),
        (check_subprotocol, "a,b", "subprotocol is not an http token"),
        (check_subprotocol, "é", "subprotocol is not an http token"),
        (check_group_template, "$x", "group names that begin with '$' are reserved"),
        (check_group_template, "{", "group template has a brace that is no {parameter}"),
        (check_group_template, "a}", "group template has a brace that is no {parameter}"),
        (check_group_template, "{a b}", "group template has a brace that is no {parameter}"),
        (check_group_template, "{}", "group template has a brace that is no {parameter}"),
        (check_group_pattern, "$*", "group names that begin with '$' are reserved"),
    ],
)
def test_refused(check: Callable[[str], str], value: str, fact: str) -> None:
    """A value out of its form is refused, the fact kept apart from the value."""
    with pytest.raises(PydanticCustomError) as caught:
        check(value)
    assert caught.value.context == {
        "text": f"{fact}: {show(value)}",
        "fact": fact,
        "value": value,
        "more": "",
    }


def test_parameters_of() -> None:
    """Parameters come in their order."""
    assert parameters_of("/{b}/x/{a}") == ("b", "a")
    assert parameters_of("/x") == ()


def test_shape_of() -> None:
    """Paths that differ only in their parameters' names have one shape."""
    assert shape_of("/a/{x}") == shape_of("/a/{y}") == "/a/{}"
    assert shape_of("/a/x") == "/a/x"


@pytest.mark.parametrize(
    ("token", "good"),
    [
        ("abc-._~+/09==", True),
        ("", False),
        ("a b", False),
        ("a=b", False),
        ("tökén", False),
        ("abc\n", False),
    ],
)
def test_is_bearer_token(token: str, good: bool) -> None:
    """Only what an Authorization header can carry is a token."""
    assert is_bearer_token(token) is good


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    """This machine is told by the form of its name or address."""
    assert is_loopback(host) is loopback
