from __future__ import annotations

import io
import json
from http.client import HTTPResponse
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.protocol.refusals import REFUSALS, Refusal, Refused, refuse


class FakeSocket:
    """As much of a socket as `http.client` needs to read a response."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        """Give the bytes as a file."""
        assert mode == "rb"
        return io.BytesIO(self._data)


def parse(data: bytes) -> tuple[HTTPResponse, Any]:
    """Read a response with `http.client`; give it and its JSON body."""
    response = HTTPResponse(FakeSocket(data))  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    assert body == data.partition(b"\r\n\r\n")[2]
    return response, json.loads(body)


def tokens(response: HTTPResponse, name: str) -> set[str]:
    """Give the elements of a list-valued field, in lower case."""
    return {token.strip().lower() for token in (response.getheader(name) or "").split(",")}


@pytest.mark.parametrize("error", sorted(REFUSALS))
def test_refusal_is_a_response(error: str) -> None:
    """Each row is a valid HTTP/1.1 response that ends the connection, with its code and one line as JSON."""
    refusal = REFUSALS[error]
    data = refusal.to_bytes()
    head, _, _ = data.partition(b"\r\n\r\n")
    assert head.isascii()
    assert all(b"\n" not in line and b"\r" not in line for line in head.split(b"\r\n"))
    response, body = parse(data)
    assert (response.version, response.status) == (11, refusal.status)
    assert response.reason
    assert body == {"error": error, "message": refusal.message}
    assert response.getheader("Content-Type") == "application/json"
    assert response.getheader("Cache-Control") == "no-store"
    assert "close" in tokens(response, "Connection")
    assert response.will_close
    names = [name.lower() for name, _ in response.getheaders()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("error", sorted(REFUSALS))
def test_refusal_echoes_nothing(error: str) -> None:
    """The detail for the log does not reach the client: the answer is the same whatever the input was."""
    refused = refuse(error, "<script>secret</script>")
    assert refused.refusal.to_bytes() == REFUSALS[error].to_bytes()
    assert b"secret" not in refused.refusal.to_bytes()
    assert refused.detail in str(refused)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("method_not_allowed", 405),
        ("malformed_request", 400),
        ("http_version", 400),
        ("bad_host", 400),
        ("bad_target", 400),
        ("body_not_allowed", 400),
        ("early_data", 400),
        ("upgrade_required", 426),
        ("bad_connection", 400),
        ("unsupported_version", 426),
        ("bad_key", 400),
        ("headers_too_large", 431),
        ("not_found", 404),
        ("unknown_subprotocol", 400),
        ("origin_not_allowed", 403),
        ("unauthorized", 401),
        ("forbidden", 403),
        ("timeout", 408),
        ("too_many_connections", 503),
        ("draining", 503),
        ("check_timeout", 503),
        ("internal_error", 500),
    ],
)
def test_status(error: str, status: int) -> None:
    """Each refusal has the status that is promised: 5xx only where the gateway is at fault or full."""
    assert REFUSALS[error].status == status


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_fields_that_a_status_requires(refusal: Refusal) -> None:
    """The statuses that HTTP gives a field to carry it."""
    response, _ = parse(refusal.to_bytes())
    if refusal.status == 401:
        assert response.getheader("WWW-Authenticate") == "Bearer"
    elif refusal.status == 405:
        assert response.getheader("Allow") == "GET"
    elif refusal.status == 426:
        assert response.getheader("Upgrade") == "websocket"
        assert "upgrade" in tokens(response, "Connection")
        assert response.getheader("Sec-WebSocket-Version") == "13"
    elif refusal.status in {429, 503}:
        assert int(response.getheader("Retry-After") or "") > 0
    else:
        assert not refusal.headers


def test_error_of_a_refusal() -> None:
    """What is raised knows the row and the detail, and is one of the gateway's errors."""
    refused = refuse("bad_key", "2 keys")
    assert isinstance(refused, GatewayError)
    assert (refused.refusal, refused.detail) == (REFUSALS["bad_key"], "2 keys")
    assert str(refused) == "bad_key: 2 keys"
    assert str(Refused(REFUSALS["forbidden"])) == "forbidden: not allowed"
    with pytest.raises(KeyError):
        refuse("no_such_row")


@pytest.mark.parametrize("status", [-1, 0, 100, 101, 200, 204, 304, 399, 600, 1000])
def test_refusal_refuses(status: int) -> None:
    """A refusal, a plugin's too, has a status of an error: never 101, and none without a body."""
    with pytest.raises(ValueError, match=f"refusal has status {status}, not 400 to 599"):
        Refusal(status, "busy", "come back later")


@pytest.mark.parametrize("status", [400, 418, 599])
def test_refusal_may_have_any_status_of_an_error(status: int) -> None:
    """The edges of 4xx and 5xx are a plugin's to use."""
    assert parse(Refusal(status, "busy", "come back later").to_bytes())[0].status == status


@pytest.mark.parametrize("error", ["", "Not Found", "a-b", "9a", 'a"', "a\n"])
def test_error_code_is_snake_case(error: str) -> None:
    """The code for programs is in snake case."""
    with pytest.raises(ValueError, match="not in snake case"):
        Refusal(403, error, "no")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nSet-Cookie: c=d"),
        ("X-A", "b\n"),
        ("X-A", "\0"),
        ("X-A", " b"),
        ("X-A", ""),
        ("X-A", "é"),
        ("X A", "b"),
        ("X-A:", "b"),
        ("X-A\r\nB", "c"),
        ("", "b"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_field_that_would_break_the_response(name: str, value: str) -> None:
    """A header field cannot smuggle in others, nor say where the body ends."""
    with pytest.raises(ValueError, match="header field that it cannot have"):
        Refusal(403, "no", "no", ((name, value),))


def test_refusal_of_a_plugin() -> None:
    """A plugin's refusal is rendered with its fields and any text, also for a status that has no name."""
    refusal = Refusal(
        499, "too_late", 'quote " and ü \ud800', (("Retry-After", "7"), ("X-Note", "a, b; c=1"))
    )
    response, body = parse(refusal.to_bytes())
    assert (response.status, response.reason) == (499, "")
    assert body == {"error": "too_late", "message": 'quote " and ü \ud800'}
    assert (response.getheader("Retry-After"), response.getheader("X-Note")) == ("7", "a, b; c=1")
