"""Tests of checks that fail where no opening handshake is under way: in renewals."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway import Connection, Handler, Refused, hookimpl

TEXT = """
authentication: {token: {keys: [{name: ada, user: ada, token: ADA}]}}
routes: [{path: /it, allow_missing_origin: true, authenticate: [token], handlers: [renewing]}]
"""


class Renewing(Handler):
    """A handler that renews."""

    async def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Renew, or say why not."""
        try:
            await connection.refresh(str(message))
        except Refused as refused:
            connection.send(refused.refusal.error)


@pytest.mark.parametrize("fault", ["raises", "gives nonsense"])
async def test_a_hook_that_fails_at_a_renewal(serve_gateway: Any, fault: str) -> None:
    """The handler that renews gets a refusal, and not another plugin's error, which is named."""
    asked: list[str] = []

    def gateway_admit(opening: Any) -> Any:
        asked.append(opening.route)
        if len(asked) == 1:
            return None
        if fault == "raises":
            raise ValueError("as told")
        return 7

    doorkeeper = SimpleNamespace(gateway_admit=hookimpl(gateway_admit))
    server = await serve_gateway(TEXT, handlers={"renewing": Renewing}, plugins=[doorkeeper])
    async with server.client("/it", token="ADA") as client:
        assert await client.ask("ADA") == "internal_error"
        assert await client.ask("BOB") == "unauthorized"
    (line,) = server.errors
    assert (line["event"], line["plugin"], line["check"]) == (
        "opening_check_failed",
        "test-0",
        "gateway_admit",
    )
    assert line["where"].rpartition(":")[0] == __file__
    figures = server.gateway.figures.read()
    assert figures["gateway_opening_checks_failed_total"]["test-0", "gateway_admit", "error"] == 1
