"""Tests of the shipped nginx and HAProxy: both are started, with connections to gateways through them."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway import Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from fronts import Front

    from gateway.testing import Served

pytestmark = [pytest.mark.tools, pytest.mark.parametrize("kind", ["nginx", "haproxy"])]

YAML = """
plugins: {{live: {{enabled: false}}}}
metrics: {{public: true}}
listen: {{trusted_proxies: [127.0.0.1], drain_seconds: {drain_seconds}}}
routes:
  - {{path: /echo, handlers: [echo], allow_missing_origin: true, compression: {{}}}}
  - {{path: /own, handlers: [echo]}}
  - {{path: /who, handlers: [who], allow_missing_origin: true}}
  - {{path: /alive, handlers: [patient], allow_missing_origin: true, limits: {{ping_interval_seconds: 0.2}}}}
  - {{path: /mute, handlers: [patient], allow_missing_origin: true, limits: {{ping_interval_seconds: 0}}}}
"""
STRANGER = {"local_addr": ("127.0.0.2", 0)}
PATIENT_SECONDS = 1.6


class Who(Handler):
    """A handler that tells each client its address, and which gateway it is at."""

    def on_open(self, connection: Connection) -> None:
        """Tell them."""
        connection.send_json([connection.remote, connection.node.name])


class Patient(Handler):
    """A handler that says nothing for longer than the proxies of these tests bear silence."""

    def on_open(self, connection: Connection) -> None:
        """Say something in the end."""
        connection.after(PATIENT_SECONDS, connection.send, "still here")


@pytest.fixture
async def gateways(serve_gateway: Callable[..., Awaitable[Served]]) -> Callable[..., Awaitable[list[Served]]]:
    """Give a function that starts two gateways."""

    async def start(drain_seconds: float = 0) -> list[Served]:
        handlers: dict[str, type[Handler[Any]]] = {"who": Who, "patient": Patient}
        text = YAML.format(drain_seconds=drain_seconds)
        return [await serve_gateway(text, handlers=handlers) for _ in range(2)]

    return start


@pytest.fixture
async def front(
    kind: str, gateways: Callable[..., Awaitable[list[Served]]], start_front: Callable[..., Awaitable[Front]]
) -> Front:
    """A proxy in front of two gateways."""
    first, second = await gateways()
    return await start_front(kind, (first.port, second.port))


async def test_messages_go_both_ways(front: Front) -> None:
    """Texts and bytes come back, compressed between the client and the gateway, over both gateways."""
    async with front.connect("/echo") as connection:
        assert connection.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
        for message in ("a text", b"\x00bytes", "long " * 10_000):
            await connection.send(message)
            assert await connection.recv() == message
        await connection.close(4000, "enough")
    assert connection.close_code == 4000


async def test_clients_go_to_both_gateways(front: Front) -> None:
    """Two clients that stay are at different gateways."""
    async with front.connect("/who") as one, front.connect("/who") as two:
        assert await one.recv() != await two.recv()


async def test_a_client_has_its_own_address(front: Front) -> None:
    """The gateway sees the client's address, whatever the client says of it."""
    lies = {"X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9"}
    async with front.connect("/who", **STRANGER, additional_headers=lies) as connection:
        assert '"127.0.0.2"' in str(await connection.recv())


async def test_a_page_of_its_own_origin_may_connect(front: Front) -> None:
    """Host comes through, so the page's own origin fits, and another one is refused with its status."""
    async with front.connect("/own", origin=f"http://localhost:{front.port}"):
        pass
    with pytest.raises(InvalidStatus) as refused:
        await front.connect("/own", origin="http://elsewhere.example")
    assert refused.value.response.status_code == 403


async def test_tls_ends_at_the_proxy(
    kind: str,
    gateways: Callable[..., Awaitable[list[Served]]],
    start_front: Callable[..., Awaitable[Front]],
    tmp_path: Path,
) -> None:
    """With the lines for TLS let in, the page's own origin is an https one."""
    authority = trustme.CA()
    certificate = tmp_path / "front.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    first, second = await gateways()
    front = await start_front(kind, (first.port, second.port), certificate=certificate)
    origin = f"https://localhost:{front.secure_port}"
    async with front.connect("/own", secure=True, ssl=context, origin=origin) as connection:
        await connection.send("hello")
        assert await connection.recv() == "hello"


async def test_only_what_is_for_clients_is_there(front: Front) -> None:
    """The operators' paths are not passed on; health is."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{front.port}", trust_env=False) as client:
        found = {path: (await client.get(path)).status_code for path in ("/metrics", "/readyz", "/healthz")}
    assert found == {"/metrics": 404, "/readyz": 404, "/healthz": 200}


async def test_a_gateway_that_drains_gets_no_new_clients(
    kind: str, gateways: Callable[..., Awaitable[list[Served]]], start_front: Callable[..., Awaitable[Front]]
) -> None:
    """While one drains and when it is gone, every client that comes is served by the other."""
    first, second = await gateways(drain_seconds=0.5)
    front = await start_front(kind, (first.port, second.port))
    async with front.connect("/who") as one, front.connect("/who") as two:
        names = {await one.recv(): one, await two.recv(): two}
        leaving = next(connection for name, connection in names.items() if first.node.name in str(name))
        stopping = asyncio.ensure_future(first.gateway.stop())
        while len(first.gateway.node.hub) and not stopping.done():
            async with front.connect("/who") as newcomer:
                assert second.node.name in str(await newcomer.recv())
        await leaving.wait_closed()
        assert leaving.close_code == 1001
        await stopping
    for _ in range(6):
        async with front.connect("/who") as newcomer:
            assert second.node.name in str(await newcomer.recv())


async def test_pings_keep_a_silent_connection(
    kind: str, gateways: Callable[..., Awaitable[list[Served]]], start_front: Callable[..., Awaitable[Front]]
) -> None:
    """The proxy's idle time ends connections without pings, and leaves those with pings alone."""
    first, second = await gateways()
    front = await start_front(kind, (first.port, second.port), {"75s": "1s"})
    async with front.connect("/alive") as alive, front.connect("/mute", ping_interval=None) as mute:
        with pytest.raises(ConnectionClosed):
            await mute.recv()
        assert await alive.recv() == "still here"
