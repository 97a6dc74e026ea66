from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.refusals import Refused
from gateway.protocol.target import parse_authority, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "example.com:8000"


def read(target: str) -> tuple[str, str] | Refused:
    """Give the path and query of a target, or its refusal."""
    try:
        return parse_target(target, HOST)
    except Refused as refused:
        return refused


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/chat/room", "/chat/room", ""),
        ("/chat/", "/chat/", ""),
        ("/?", "/", ""),
        ("/a?b=c&d", "/a", "b=c&d"),
        ("/a?b?c//../%2F%", "/a", "b?c//../%2F%"),
        ("/a?http://other/", "/a", "http://other/"),
        ("/a%20b", "/a b", ""),
        ("/%C3%A9", "/é", ""),
        ("/%e5%86%8d%F0%9F%8E%89", "/再🎉", ""),
        ("/c%23", "/c#", ""),
        ("/50%25", "/50%", ""),
        ("/%252F", "/%2F", ""),
        ("/a%3Fb?c", "/a?b", "c"),
        ("/.../.a/a..b/a.", "/.../.a/a..b/a.", ""),
        ("/%2E%2E%2E", "/...", ""),
        ("/a:b@c;d=e,f!$&'()*+~_-", "/a:b@c;d=e,f!$&'()*+~_-", ""),
        ("http://example.com:8000/a?b", "/a", "b"),
        ("ws://example.com:8000/a", "/a", ""),
        ("WSS://EXAMPLE.com:8000/A", "/A", ""),
        ("https://example.com:8000", "/", ""),
    ],
)
def test_target(target: str, path: str, query: str) -> None:
    """A target gives its path, decoded once, and its query as it is."""
    assert parse_target(target, HOST) == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        "",
        "*",
        "chat",
        "?a",
        "//",
        "//evil.example/",
        "/a//b",
        "/a//",
        "/.",
        "/..",
        "/./a",
        "/a/..",
        "/a/../b",
        "/%2e",
        "/%2E%2e/admin",
        "/.%2e/admin",
        "/a%2Fb",
        "/a%2fb",
        "/%2F",
        "/a/%2F/b",
        "/a\\b",
        "/a%5Cb",
        "/a%5c..%5cb",
        "/%00",
        "/a%0d%0aSet-Cookie:b",
        "/%1F",
        "/%7F",
        "/%",
        "/%2",
        "/%zz",
        "/%u0041",
        "/a%",
        "/%ff",
        "/%C0%AF",
        "/%c0%ae%c0%ae/",
        "/%ed%a0%80",
        "/%F4%90%80%80",
        "/a#b",
        "/a?b#c",
        "/é",
        "/a?é",
        "/\udc80",
        "/%\udc80",
        "example.com:8000",
        "example.com:8000/a",
        "http:/a",
        "http:///a",
        "http://example.com/a",
        "http://example.com:80/a",
        "http://other.example:8000/a",
        "http://example.com:8000.evil/a",
        "http://me@example.com:8000/a",
        "http://example.com:8000?a",
        "http://example.com:8000//a",
        "http://example.com:8000/../a",
        "http://example.com:8000/%2F",
        "ftp://example.com:8000/a",
        "://example.com:8000/a",
        "javascript://example.com:8000/a",
    ],
)
def test_bad_target(target: str) -> None:
    """A target over which two readers could differ is refused, not repaired."""
    with pytest.raises(Refused) as caught:
        parse_target(target, HOST)
    assert caught.value.refusal.error == "bad_target"


@pytest.mark.parametrize("target", ["http", "http://", "http:///a"])
def test_absolute_form_names_a_host(target: str) -> None:
    """A request without Host, or with an empty one, has no absolute form."""
    with pytest.raises(Refused) as caught:
        parse_target(target, "")
    assert caught.value.refusal.error == "bad_target"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("example.com", ("example.com", None)),
        ("Example.COM:8000", ("example.com", 8000)),
        ("example.com.", ("example.com.", None)),
        ("localhost:1", ("localhost", 1)),
        ("a_b.-c:65535", ("a_b.-c", 65535)),
        ("127.0.0.1:080", ("127.0.0.1", 80)),
        ("[::1]", ("[::1]", None)),
        ("[::1]:8000", ("[::1]", 8000)),
        ("[2001:DB8:0:0::0:1]:443", ("[2001:db8::1]", 443)),
        ("xn--bcher-kva.example", ("xn--bcher-kva.example", None)),
        ("a" * 253 + ".:65535", ("a" * 253 + ".", 65535)),
    ],
)
def test_authority(value: str, expected: tuple[str, int | None]) -> None:
    """A host is given in comparable form, beside its port if there is one."""
    assert parse_authority(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ".",
        ":",
        ":80",
        "a:",
        "a b",
        " a",
        "a ",
        "a..b",
        ".a",
        "a,b",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "a@b",
        "a%41",
        "a\n",
        "a\0",
        "a:0",
        "a:65536",
        "a:99999",
        "a:100000",
        "a:8_0",
        "a:-1",
        "a:+1",
        "a:٣",
        "a:80:80",
        "é.example",
        "*.example.com",
        "::1",
        "[]",
        "[::1",
        "::1]",
        "[::1]a",
        "[:::1]",
        "[1::2::3]",
        "[12345::]",
        "[127.0.0.1]",
        "[g::]",
        "[fe80::1%eth0]",
        "[::1]:",
        "a" * 261,
    ],
)
def test_bad_authority(value: str) -> None:
    """What is no host with a port is nothing."""
    assert parse_authority(value) is None


targets = st.lists(
    st.sampled_from(
        ["/", "..", ".", "%2F", "%", "%2e", "\\", "?", "#", "http://", HOST, "a", "é", "%C3", "%A9", "\udc80"]
    )
    | st.text(max_size=3),
    max_size=8,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(targets, st.booleans())
def test_any_target_is_read_or_refused(target: str, rooted: bool) -> None:
    """Any text gives one normalised path, or one refusal, and nothing else."""
    found = read("/" + target if rooted else target)
    if isinstance(found, Refused):
        assert found.refusal.error == "bad_target"
        return
    path, query = found
    segments = path.split("/")
    assert segments[0] == ""
    assert not {".", ".."} & set(segments)
    assert "" not in segments[1:-1]
    assert "\\" not in path
    assert all(ord(character) >= 0x20 for character in path)
    assert query in target


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="aA0.-_:[]% @/é\n", max_size=12) | st.text(max_size=12))
def test_any_authority_is_read_or_nothing(value: str) -> None:
    """Any text gives a host in comparable form, which read again is the same, or nothing."""
    authority = parse_authority(value)
    if authority is not None:
        host, port = authority
        assert parse_authority(host if port is None else f"{host}:{port}") == authority


@pytest.mark.parametrize("unit", ["/", "a/", "%41", "%", ".", "../", "?", "\\", "a.", "é", "-.", "[", ":"])
def test_hostile_target_costs_in_proportion(calls: Callable[[Callable[[], object]], int], unit: str) -> None:
    """8 KiB of anything is read at a few calls for each byte, and twice as much costs twice at most."""

    def cost(size: int) -> int:
        text = unit * (size // len(unit))

        def work() -> None:
            parse_authority(text)
            for target in ("/" + text, "http://" + text):
                read(target)

        return calls(work)

    assert cost(8_192) <= 2 * cost(4_096) + 100
    assert cost(8_192) < 4 * 8_192
