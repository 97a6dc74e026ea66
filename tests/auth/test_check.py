"""Tests of what `gateway check` says of the authorities by which the ways trust services."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.auth.check import check_keys
from gateway.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

WAYS = {
    "authentication.forward.server_ca": "forward: {url: 'https://id.test/', server_ca: ca.pem}",
    "authentication.jwt.issuers[0].jwks.server_ca": (
        "jwt: {issuers: [{issuer: a, audience: b, algorithms: [RS256], "
        "jwks: {url: 'https://id.test/', server_ca: ca.pem}}]}"
    ),
}


@pytest.mark.parametrize("place", WAYS)
@pytest.mark.parametrize("days", [100, 3, -1])
def test_ends_of_authorities(tmp_path: Path, place: str, days: int) -> None:
    """An authority that has ended lets no service be trusted; near its end it is a warning."""
    end = datetime.now(UTC) + timedelta(days=days)
    issued = trustme.CA().issue_cert("ca.test", not_before=end - timedelta(days=200), not_after=end)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "ca.pem")
    file = tmp_path / "gateway.yaml"
    file.write_text(f"authentication: {{{WAYS[place]}}}")
    found = [str(one).partition(": ")[2] for one in check_keys(load_config(file, {}))]
    if days == 100:
        assert found == []
    else:
        (line,) = found
        warning, fact = ("warning: ", "ends on") if days > 0 else ("", "has ended, on")
        assert line.startswith(f"{place}: {warning}certificate of ")
        assert fact in line
