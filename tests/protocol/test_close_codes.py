from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gateway
from gateway.protocol.close_codes import (
    CLOSE_CODES,
    IDENTITY_EXPIRED,
    IDENTITY_REVOKED,
    CloseCode,
    Reconnect,
    may_be_received,
    may_be_sent,
)

# What no frame may carry: these stand for closes without a frame or without a code (RFC 6455 section 7.4.1).
NEVER_SENT = {CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE}


def test_codes_of_the_wire() -> None:
    """Of all numbers just those that are defined for the wire, or free for use, may come and go."""
    legal = {1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(-1, 1 << 16) if may_be_received(code)} == legal
    assert {code for code in range(-1, 1 << 16) if may_be_sent(code)} == legal


@pytest.mark.parametrize("code", sorted(CLOSE_CODES))
def test_row(code: int) -> None:
    """Each row is a code of the wire with a name that fits into a close frame, and says what to do next."""
    row = CLOSE_CODES[code]
    assert row.code == code
    assert may_be_sent(code)
    assert 0 < len(row.name.encode()) <= 123
    assert row.meaning
    assert row.reconnect in Reconnect


def test_every_code_that_the_gateway_sends_has_a_row() -> None:
    """The codes that the gateway's source names are those of the table."""
    named = {
        node.attr
        for path in Path(gateway.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "CloseCode"
    }
    assert {CloseCode[name] for name in named} - NEVER_SENT <= CLOSE_CODES.keys()
    assert {IDENTITY_EXPIRED, IDENTITY_REVOKED} <= CLOSE_CODES.keys()


@pytest.mark.parametrize("code", [1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4401, 4403])
def test_promised_codes_have_rows(code: int) -> None:
    """Every code that is promised for some input or load has its row."""
    assert code in CLOSE_CODES


@pytest.mark.parametrize(
    ("code", "reconnect"),
    [(1000, "no"), (1002, "no"), (1009, "no"), (1012, "yes"), (1013, "later"), (4401, "yes"), (4403, "no")],
)
def test_what_a_client_does_next(code: int, reconnect: str) -> None:
    """A client comes back after a restart, later after an overload, and never with the same mistake."""
    assert CLOSE_CODES[code].reconnect == reconnect
