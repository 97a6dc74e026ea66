"""Tests of the settings of the ways that know their secrets or ask a service."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.models import ApiConfig, ForwardWayConfig, GatewayConfig, TicketWayConfig, TokenKey

HASH = f"sha256:{hashlib.sha256(b'tok-1').hexdigest()}"


@pytest.mark.parametrize(
    ("written", "end"),
    [
        ("2030-12-31", datetime(2030, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("9999-12-31", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2030-12-31T12:00:00Z", datetime(2030, 12, 31, 12, tzinfo=UTC)),
        ("2030-12-31T12:00+02:00", datetime(2030, 12, 31, 10, tzinfo=UTC)),
        ("2030-12-31 12:00:00.5-01:00", datetime(2030, 12, 31, 13, 0, 0, 500_000, UTC)),
    ],
)
def test_end_of_a_key(written: str, end: datetime) -> None:
    """A moment is as it is, and a day is over when it is over in UTC."""
    key = TokenKey.model_validate({"name": "a", "user": "u", "token": "x", "expires_at": written})
    assert key.expires_at == end
    assert key.expires_at.timestamp() == end.timestamp()


@pytest.mark.parametrize(
    "written", ["", "never", "2030-13-01", "2030-12-31T12:00", "12:00Z", 2030, 1e9, True]
)
def test_what_is_no_end(written: Any) -> None:
    """Half a moment, or something else, is refused."""
    with pytest.raises(ValidationError):
        TokenKey.model_validate({"name": "a", "user": "u", "token": "x", "expires_at": written})


def test_a_hash_is_as_good_as_its_token() -> None:
    """Either form has the same digest, and opens the API; an empty one of either is none."""
    tokens = [{"name": "a", "token": "tok-1"}, {"name": "b", "hash": HASH}, {"name": "c", "hash": None}]
    api = ApiConfig.model_validate({"tokens": tokens})
    assert [token.name for token in api.active_tokens] == ["a", "b"]
    assert {token.digest for token in api.active_tokens} == {hashlib.sha256(b"tok-1").digest()}
    assert not ApiConfig.model_validate({"tokens": tokens[2:]}).enabled


def test_secrets_are_not_shown() -> None:
    """Neither hashes nor the secret of tickets stand in a printed configuration."""
    key = TokenKey.model_validate({"name": "a", "user": "u", "hash": HASH})
    ticket = TicketWayConfig.model_validate({"secret": "hush" * 8, "authenticate": ["token"]})
    assert HASH[10:20] not in repr(key)
    assert "hush" not in repr(ticket)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://auth.example.com/check?site=a", True),
        ("https://auth.example.com:8443", True),
        ("http://localhost:8080/", True),
        ("http://127.0.0.1/", True),
        ("http://127.8.9.1/", True),
        ("http://[::1]:80/", True),
        ("http://auth.example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://[::2]/", False),
        ("https:///check", False),
        ("https://h/#part", False),
        ("https://h/a b", False),
        ("https://h:99999/", False),
        ("https://[::1/", False),
        ("auth.example.com", False),
        ("file:///etc/passwd", False),
    ],
)
def test_urls_of_the_auth_service(url: str, good: bool) -> None:
    """Credentials go to this machine or over TLS, unless the file says otherwise."""
    if good:
        assert ForwardWayConfig(url=url).url == url
        return
    with pytest.raises(ValidationError):
        ForwardWayConfig(url=url)


def test_plain_http_if_allowed() -> None:
    """Within a network that one trusts plain HTTP can be allowed."""
    url = "http://auth.internal:8080/check"
    assert ForwardWayConfig(url=url, allow_plain_http=True).url == url


def test_headers_are_compared_in_lower_case() -> None:
    """Names of headers have no case."""
    config = ForwardWayConfig(
        url="https://h/", headers=("Cookie", "X-Session"), extra_headers=("User-Agent",)
    )
    assert (config.headers, config.extra_headers) == (("cookie", "x-session"), ("user-agent",))
    assert config.forwards_cookies
    assert not ForwardWayConfig(url="https://h/").forwards_cookies


def test_headers_that_are_never_passed_on() -> None:
    """The gateway's own headers, and those of one hop, cannot be listed."""
    for name in (
        *("Host", "connection", "TE", "Content-Length", "proxy-authorization", "sec-websocket-protocol"),
        *("Forwarded", "x-forwarded-for", "X-Forwarded-Anything", "x-original-uri", "x-real-ip"),
        *("x-gateway-route", "ü", "a,b", ":", ""),
    ):
        for key in ("headers", "extra_headers"):
            with pytest.raises(ValidationError):
                ForwardWayConfig.model_validate({"url": "https://h/", key: [name]})


def test_mtls_where_certificates_are_asked_for() -> None:
    """The way `mtls` is good with a listener that asks for certificates."""
    tls = {"certificate": "c", "key": "k", "client_ca": "a", "client_certificates": "optional"}
    route = {"path": "/a", "authenticate": ["mtls"]}
    assert GatewayConfig.model_validate({"listen": {"tls": tls}, "routes": [route]}).routes
    with pytest.raises(ValidationError, match=r"listen\.tls\.client_certificates"):
        GatewayConfig.model_validate({"routes": [route]})
