"""Tests of renewals that wait, and of what happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway import hookimpl
from gateway.core.revocations import Revocation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

PATIENCE_SECONDS = 30
FIRST, SECOND = "tok-" + "ann-1", "tok-" + "ann-2"


class TestAtOnce:
    """Renewals that wait, and what happens meanwhile."""

    async def test_two_renewals_at_once(
        self, server: Served, bearer: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        """The one that is judged last holds, in everything; nothing of the other is left."""
        sooner, later = str(int(time.time()) + 500), str(int(time.time()) + 900)
        async with server.connect("/slow", **bearer("ann")) as client:
            await client.send(f"at once ann-{sooner} ann-{later}")
            waiting = server.node.slow.waiting
            await until(lambda: len(waiting) == 2)
            (connection,) = server.node.connections()
            waiting[later].set()
            await until(lambda: connection.identity.expires_at == float(later))
            waiting[sooner].set()
            answer = json.loads(await client.recv())
            assert answer == [
                [float(sooner), float(later)],
                float(sooner),
                ["user:ann", f"until-{sooner}"],
            ]
            assert len(server.node.expiries) == 1

    async def test_the_end_comes_before_the_renewal(
        self, server: Served, bearer: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        """A renewal that is judged too late changes nothing, raises nothing, and keeps nothing."""
        end = str(int(time.time()) + 500)
        async with server.connect("/slow", **bearer("ann")) as client:
            await client.send(f"ann-{end}")
            waiting = server.node.slow.waiting
            await until(lambda: waiting)
            (connection,) = server.node.connections()
            former = connection.identity
            connection.close(4000)
            async with asyncio.timeout(PATIENCE_SECONDS):
                await client.wait_closed()
            waiting[end].set()
            await until(lambda: server.node.closes)
            assert (client.close_code, connection.identity, connection.groups) == (4000, former, ())
            assert len(server.node.expiries) == len(server.node.hub) == 0
            assert server.node.metrics.handler_errors == 0

    async def test_revoked_while_admission_waits(
        self,
        start: Callable[..., Awaitable[Served]],
        bearer: Callable[..., Any],
        until: Callable[..., Any],
    ) -> None:
        """A token that is revoked while a plugin's hook waits renews nothing, and opens nothing."""
        waits: list[asyncio.Event] = []

        class Patient:
            """A plugin that waits."""

            @hookimpl
            async def gateway_admit(self, opening: Any) -> None:
                """Wait for those with a second token."""
                if opening.identity.token_id == "second":
                    waits.append(asyncio.Event())
                    await waits[-1].wait()

        server = await start(Patient())
        async with server.connect("/token", **bearer(FIRST)) as client:
            opening = asyncio.ensure_future(server.connect("/token", **bearer(SECOND)).__aenter__())
            await client.send(SECOND)
            await until(lambda: len(waits) == 2)
            server.node.orders.revoke(Revocation("second", None, 0, time.time() + 100))
            for event in waits:
                event.set()
            detail = "identity is revoked"
            assert json.loads(await client.recv()) == ["refused", 401, "unauthorized", detail]
            with pytest.raises(Exception, match="HTTP 401"):
                await opening
            assert len(server.node.hub) == 1
