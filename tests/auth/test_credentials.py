"""Tests of finding credentials: by themselves."""

from __future__ import annotations

import pytest

from gateway import OpeningRequest, Refused
from gateway.auth.credentials import bearer_token, cookie_values, find
from gateway.protocol.head import parse_head

EVERYWHERE = ("header", "subprotocol", "cookie:session", "query:access_token")


def request(*lines: str, query: str = "") -> OpeningRequest:
    """Make an opening handshake with the given header lines and query string."""
    target = f"/mine?{query}" if query else "/mine"
    head = "\r\n".join([f"GET {target} HTTP/1.1", "Host: x", *lines])
    return OpeningRequest(parse_head(head.encode("latin-1"), max_lines=100), "/mine")


@pytest.mark.parametrize(
    ("lines", "query", "place"),
    [
        (["Authorization: Bearer abc"], "", "header"),
        (["Sec-WebSocket-Protocol: chat.v1, bearer.abc"], "", "subprotocol"),
        (["Sec-WebSocket-Protocol: bearer.abc", "Sec-WebSocket-Protocol: chat.v1"], "", "subprotocol"),
        (["Cookie: a=b; session=abc"], "", "cookie:session"),
        (["Cookie: a=b", 'Cookie: session="abc"'], "", "cookie:session"),
        ([], "x=y&access_token=abc", "query:access_token"),
        ([], "access_token=%61bc", "query:access_token"),
    ],
)
def test_a_credential_is_found_in_its_place(lines: list[str], query: str, place: str) -> None:
    """Each place gives its credential where it is allowed, and nothing where it is not."""
    found = find(request(*lines, query=query), EVERYWHERE)
    assert found is not None
    assert (found.value, found.source) == ("abc", place)
    assert find(request(*lines, query=query), [other for other in EVERYWHERE if other != place]) is None


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Basic YTpi"],
        ["Authorization: Bearer"],
        ["Sec-WebSocket-Protocol: bearer."],
        ["Sec-WebSocket-Protocol: bearer"],
        ["Sec-WebSocket-Protocol: Bearer.abc"],
        ["Sec-WebSocket-Protocol: bearer.a/b, bearer.a=, bearer.a b"],
        ["Sec-WebSocket-Protocol: " + " ,\"',," * 1000],
        ["Cookie: session=; Session=abc; xsession=abc; session"],
        ["X-Session: abc"],
    ],
)
def test_what_is_no_credential(lines: list[str]) -> None:
    """Other schemes, other names and what no client would send are nothing."""
    assert find(request(*lines, query="access_token=&Access_token=abc"), EVERYWHERE) is None


@pytest.mark.parametrize(
    ("lines", "query"),
    [
        (["Authorization: Bearer abc", "Authorization: Bearer abc"], ""),
        (["Authorization: Bearer abc", "Authorization: Basic YTpi"], ""),
        (["Authorization: Bearer abc", "Sec-WebSocket-Protocol: bearer.abd"], ""),
        (["Authorization: Bearer abc", "Cookie: session=abd"], ""),
        (["Authorization: Bearer abc"], "access_token=abd"),
        (["Sec-WebSocket-Protocol: bearer.abc, bearer.abd"], ""),
        (["Cookie: session=abc; session=abd"], ""),
        ([], "access_token=abc&access_token=abd"),
    ],
)
def test_credentials_that_differ_are_refused(lines: list[str], query: str) -> None:
    """Of two credentials none is chosen: who put the other there is not known."""
    with pytest.raises(Refused) as caught:
        find(request(*lines, query=query), EVERYWHERE)
    assert caught.value.refusal.error == "unauthorized"
    assert "ab" not in caught.value.detail


def test_a_credential_may_come_twice() -> None:
    """The same credential in two places is one."""
    found = find(request("Authorization: Bearer abc", "Sec-WebSocket-Protocol: bearer.abc"), EVERYWHERE)
    assert found is not None
    assert (found.value, found.source) == ("abc", "header")


def test_a_credential_is_not_shown() -> None:
    """What a plugin logs of a credential tells where it came from, and nothing else."""
    assert "abc" not in repr(find(request("Authorization: Bearer abc"), EVERYWHERE))


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer abc", "abc"),
        ("BEARER abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer a b", "a b"),
        ("Bearer", None),
        ("Bearer  ", None),
        ("abc", None),
        ("Basic abc", None),
        ("", None),
    ],
)
def test_bearer_token(field: str, token: str | None) -> None:
    """The token is what follows the scheme, whose case does not matter."""
    assert bearer_token(field) == token


def test_cookie_values() -> None:
    """All values of a name are given, however the fields are written."""
    found = cookie_values(request("Cookie: a=1;b=2;  a = 3 ;a=; a", 'Cookie: a="4"; a=x=y'), "a")
    assert found == ["1", "3", "4", "x=y"]
