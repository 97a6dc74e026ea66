from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.origin import Origin, OriginPolicy, own_origin, parse_origin


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://example.com", Origin("https", "example.com", 443)),
        ("https://example.com:443", Origin("https", "example.com", 443)),
        ("http://example.com", Origin("http", "example.com", 80)),
        ("http://example.com:80", Origin("http", "example.com", 80)),
        ("https://example.com:80", Origin("https", "example.com", 80)),
        ("HTTPS://Example.COM:8443", Origin("https", "example.com", 8443)),
        ("http://127.0.0.1:8000", Origin("http", "127.0.0.1", 8000)),
        ("http://[::1]:8000", Origin("http", "[::1]", 8000)),
        ("http://[0:0::0:1]", Origin("http", "[::1]", 80)),
        ("https://[2001:DB8::A]", Origin("https", "[2001:db8::a]", 443)),
        ("chrome-extension://abcdefghij", Origin("chrome-extension", "abcdefghij", None)),
        ("https://a_b.example:65535", Origin("https", "a_b.example", 65535)),
    ],
)
def test_origin_in_comparable_form(text: str, origin: Origin) -> None:
    """An origin is read with its case folded, its address shortened and its default port filled in."""
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "NULL",
        "*",
        "example.com",
        "example.com:443",
        "//example.com",
        "://example.com",
        "https:",
        "https:/example.com",
        "https://",
        "https://:443",
        "https://example.com/",
        "https://example.com/path",
        "https://example.com?query",
        "https://example.com#fragment",
        "https://user@example.com",
        "https://user:secret@example.com",
        "https://example.com@evil.example",
        "https://example.com:",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:123456",
        "https://example.com:443:443",
        "https://example.com:443a",
        "https://example.com, https://evil.example",
        "https://example.com https://evil.example",
        " https://example.com",
        "https://example.com ",
        "https://example.com\n",
        "https://example.com\0.evil.example",
        "https://*.example.com",
        "https://exämple.com",
        "https://example..com",
        "https://.example.com",
        "https://example.com\\.evil.example",
        "https://example.com%2eevil.example",
        "https://[::1",
        "https://[:::]",
        "https://[127.0.0.1]",
        "1https://example.com",
        "ht tps://example.com",
        "https://https://example.com",
        "https://" + "a" * 600,
    ],
)
def test_not_an_origin(text: str) -> None:
    """Anything but scheme, host and port is no origin."""
    assert parse_origin(text) is None


def policy(*allowed: str, missing: bool = False) -> OriginPolicy:
    """Make the policy of a route with a list."""
    return OriginPolicy.from_config(allowed, missing=missing)


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "https://example.com:443",
        "HTTPS://EXAMPLE.COM",
        "http://app.test:8080",
        "http://[::1]:3000",
    ],
)
def test_listed_origin_is_admitted(origin: str) -> None:
    """An origin of the list may connect, in any case and with or without its default port."""
    allowed = policy("https://Example.com", "http://app.test:8080", "http://[0::1]:3000")
    assert allowed.admits([origin], None)


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://example.com.evil.example", id="prefix"),
        pytest.param("https://evilexample.com", id="suffix"),
        pytest.param("https://sub.example.com", id="subdomain"),
        pytest.param("https://com", id="parent"),
        pytest.param("https://example.com.", id="trailing dot"),
        pytest.param("http://example.com", id="other scheme"),
        pytest.param("wss://example.com", id="scheme of the socket"),
        pytest.param("https://example.com:8443", id="other port"),
        pytest.param("https://example.com:80", id="default port of another scheme"),
        pytest.param("http://example.com:443", id="other scheme on the same port"),
        pytest.param("http://app.test", id="port left out"),
        pytest.param("null", id="null"),
        pytest.param("", id="empty"),
        pytest.param("https://user@example.com", id="user information"),
        pytest.param("https://example.com@evil.example", id="host as user information"),
        pytest.param("https://example.com/", id="path"),
        pytest.param("example.com", id="no URL"),
        pytest.param("https://example.com https://evil.example", id="two in one field"),
        pytest.param("http://[::2]:3000", id="other address"),
        pytest.param("http://::1:3000", id="address without brackets"),
    ],
)
def test_unlisted_origin_is_refused(origin: str) -> None:
    """An origin that is merely like one of the list may not connect."""
    allowed = policy("https://example.com", "http://app.test:8080", "http://[::1]:3000")
    own = parse_origin("https://gateway.example")
    assert not allowed.admits([origin], None)
    assert not allowed.admits([origin], own)


def test_two_origins_are_refused() -> None:
    """More than one Origin field is refused, though each were admitted, and even under `*`."""
    twice = ["https://example.com", "https://example.com"]
    for allowed in (policy("https://example.com"), policy("*"), policy("*", missing=True)):
        assert not allowed.admits(twice, None)
    assert not OriginPolicy.from_config(None, missing=True).admits(twice, parse_origin("https://example.com"))


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example.com",
        "https://A.B.Example.com",
        "https://a.example.com:443",
        "https://a_b.c-d.example.com",
    ],
)
def test_wildcard_admits_labels_before_it(origin: str) -> None:
    """`https://*.example.com` admits one or more labels before its domain."""
    assert policy("https://*.example.com").admits([origin], None)


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.com",
        "https://.example.com",
        "https://..example.com",
        "https://a..example.com",
        "https://*.example.com",
        "https://evilexample.com",
        "https://a.example.com.evil.example",
        "https://a.example.com.",
        "https://a.example.org",
        "http://a.example.com",
        "http://a.example.com:443",
        "https://a.example.com:8443",
        "https://evil.example/.example.com",
        "https://evil.example?.example.com",
        "https://evil.example#.example.com",
        "https://evil.example:443@a.example.com",
        "https://evil.example\\.example.com",
        "null",
    ],
)
def test_wildcard_admits_nothing_else(origin: str) -> None:
    """`https://*.example.com` admits neither its bare domain, nor another scheme or port, nor a double."""
    assert not policy("https://*.example.com").admits([origin], None)


def test_wildcard_has_a_port_of_its_own() -> None:
    """A wildcard with a port admits that port only."""
    allowed = policy("http://*.example.com:8080")
    assert allowed.admits(["http://a.example.com:8080"], None)
    assert not allowed.admits(["http://a.example.com"], None)


@pytest.mark.parametrize("origin", ["https://anything.example", "null", "chrome-extension://abc"])
def test_star_admits_any_origin(origin: str) -> None:
    """`*` admits whatever one Origin says, and says nothing about a missing one."""
    assert policy("*").admits([origin], None)
    assert policy("https://example.com", "*").admits([origin], None)
    assert not policy("*").admits([], None)


def test_no_list_admits_the_own_origin_only() -> None:
    """Without a list only pages of the gateway's own origin may connect."""
    allowed = OriginPolicy.from_config(None, missing=False)
    own = parse_origin("https://example.com")
    assert allowed.admits(["https://EXAMPLE.com:443"], own)
    for origin in ("http://example.com", "https://example.com:8443", "https://a.example.com", "null", ""):
        assert not allowed.admits([origin], own)
    assert not allowed.admits(["null"], None)
    assert not allowed.admits(["https://example.com"], None)


def test_list_does_not_admit_the_own_origin() -> None:
    """The own origin needs to stand in the list if there is one; an empty list admits none."""
    own = parse_origin("https://gateway.example")
    assert not policy("https://example.com").admits(["https://gateway.example"], own)
    assert not policy().admits(["https://gateway.example"], own)


@pytest.mark.parametrize("allowed", [None, (), ("https://example.com",), ("https://*.example.com",), ("*",)])
def test_missing_origin_is_admitted_by_name_only(allowed: tuple[str, ...] | None) -> None:
    """A request without Origin may connect where the route says so, whatever else it says."""
    own = parse_origin("https://example.com")
    assert OriginPolicy.from_config(allowed, missing=True).admits([], own)
    assert not OriginPolicy.from_config(allowed, missing=False).admits([], own)
    # An empty Origin is none of the list, but it is not missing.
    if allowed != ("*",):
        assert not OriginPolicy.from_config(allowed, missing=True).admits([""], own)


@pytest.mark.parametrize(
    "entry",
    [
        "", "null", "example.com", "https://", "https://*", "https://*.", "https://*example.com", "https://a.*.com",
        "https://*.*.com", "*://example.com", "https://example.com/", "https://u@example.com", "https://*.[::1]",
        "https://[:::]", "**",
    ],
)  # fmt: skip
def test_entry_that_is_no_origin(entry: str) -> None:
    """An entry that could never match is an error, and not a policy that admits less than it seems to."""
    with pytest.raises(ValueError, match="not an origin"):
        policy("https://example.com", entry)


origins = st.lists(
    st.sampled_from(
        ["https", "http", "://", "*.", "example.com", ".", ":", "443", "@", "/", "[::1]", "null", " ", "é"]
    )
    | st.text(max_size=3),
    max_size=7,
).map("".join)


@settings(deadline=None, max_examples=300)
@given(origins)
def test_any_text_is_an_origin_or_nothing(text: str) -> None:
    """Any text is an origin, which written out is the same one, or nothing; no policy stumbles over it."""
    origin = parse_origin(text)
    if origin is not None:
        port = "" if origin.port is None else f":{origin.port}"
        assert parse_origin(f"{origin.scheme}://{origin.host}{port}") == origin
    allowed = policy("https://example.com", "https://*.example.com")
    admitted = allowed.admits([text], None)
    assert admitted == (
        origin is not None
        and (origin.scheme, origin.port) == ("https", 443)
        and (origin.host == "example.com" or origin.host.endswith(".example.com"))
    )


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("https", "example.com", Origin("https", "example.com", 443)),
        ("http", "Example.com:8000", Origin("http", "example.com", 8000)),
        ("http", "[0::1]", Origin("http", "[::1]", 80)),
        ("http", "", None),
        ("http", "a b", None),
        ("http", "example.com:0", None),
        ("http", "me@example.com", None),
    ],
)
def test_own_origin(scheme: str, host: str, origin: Origin | None) -> None:
    """The origin of a request is that of its scheme and Host."""
    assert own_origin(scheme, host) == origin


def test_request_is_held_against_its_own_host() -> None:
    """Without a list the one Host of a request, with the client's scheme, says which origin is its own."""
    allowed = OriginPolicy.from_config(None, missing=False)
    fields = {"host": ["example.com"], "origin": ["https://example.com"]}
    assert allowed.admits_request(fields, "https")
    assert not allowed.admits_request(fields, "http")
    assert not allowed.admits_request({**fields, "host": ["example.com", "example.com"]}, "https")
    assert not allowed.admits_request({**fields, "host": []}, "https")
    assert not allowed.admits_request({"origin": fields["origin"]}, "https")
    assert not allowed.admits_request({"host": fields["host"]}, "https")
    assert policy("https://example.com").admits_request(fields, "http")
