"""The gateway.yaml that ships, as a newcomer meets it: run by the command, tried with other clients."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
import yaml
from pydantic import SecretStr
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.app.prepare import prepare
from gateway.config.models import GatewayConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from pydantic import BaseModel

    from gateway.testing import Served

SHIPPED = Path(__file__).parents[2] / "gateway.yaml"
ANNOUNCEMENT = "接收到客户端的消息:"
EMPTY = ((), [], {}, None, SecretStr(""))


async def hear(connection: Any, kind: str) -> dict[str, Any]:
    """Receive until a JSON message of this type comes."""
    async with asyncio.timeout(15):
        while (message := json.loads(await connection.recv()))["type"] != kind:
            pass
    return message


async def exchange(connection: Any, message: str | bytes) -> str | bytes:
    """Send a message and receive one."""
    await connection.send(message)
    async with asyncio.timeout(15):
        answer: str | bytes = await connection.recv()
    return answer


@pytest.fixture
async def served(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway that serves the file as it is."""
    return await serve_gateway(SHIPPED.read_text("utf-8"))


async def test_command_serves_it_and_ends_cleanly() -> None:
    """`gateway run` prints where page and routes are, serves them, and Ctrl-C ends it with status 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "run", "-c", str(SHIPPED), "--port", "0", "--admin-port", "0"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            printed = [(await process.stdout.readline()).decode().split() for _ in range(5)]
            page = printed[0][1]
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", page)
            base = page.replace("http", "ws", 1)
            assert printed == [
                ["page", page],
                ["ws", f"{base}live"],
                ["ws", f"{base}live/notes/ws"],
                ["ws", f"{base}echo"],
                ["ws", f"{base}chat/{{room}}"],
            ]
            async with aiohttp.ClientSession() as session, session.get(page) as answer:
                assert answer.status == 200
                assert "Gateway live" in await answer.text()
            async with connect(f"{base}echo") as connection:
                assert await exchange(connection, "hello") == f"{ANNOUNCEMENT}hello"
            process.send_signal(signal.SIGINT)
            _, logged = await process.communicate()
        assert process.returncode == 0
        lines = [json.loads(line) for line in logged.splitlines()]
        assert {line["level"] for line in lines} == {"info"}
        events = [line["event"] for line in lines]
        assert {"started", "workers_started", "connection_closed", "stopped"} < set(events)
        assert events[-1] == "workers_stopped"
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_echo_announces(served: Served) -> None:
    """`/echo` puts its words before a text and before a binary message, for a client that sends no Origin."""
    async with served.connect("/echo") as connection:
        assert await exchange(connection, "早上好") == f"{ANNOUNCEMENT}早上好"
        assert await exchange(connection, b"\x00\xff") == ANNOUNCEMENT.encode() + b"\x00\xff"


async def test_live_pushes_what_polling_gets(served: Served) -> None:
    """`/live` sends a snapshot at once and then each sample, which is the very text that plain HTTP gives."""
    async with served.connect("/live") as connection:
        snapshot = json.loads(await connection.recv())
        assert snapshot["type"] == "snapshot"
        assert (snapshot["interval_seconds"], snapshot["allow_push"]) == (1.0, True)
        figures = await hear(connection, "figures")
        assert set(snapshot["fields"]) == set(figures) - {"type"}
        assert figures["connections"] == 1
        async with aiohttp.ClientSession() as session:
            polled = await (await session.get(served.http_url("/live/figures.json"))).json()
        while figures["number"] < polled["number"]:  # a sample was taken in between
            figures = await hear(connection, "figures")
        assert polled == figures


async def test_live_pushes_texts(served: Served) -> None:
    """`/live` lets a client push to all, and to the one that said hello with a consumer id."""
    async with served.connect("/live") as one, served.connect("/live") as other:
        await other.send(json.dumps({"type": "hello", "consumer": "desk"}))
        await hear(other, "hello")
        await one.send(json.dumps({"type": "push", "to": "desk", "text": "for you"}))
        assert (await hear(one, "pushed"))["receivers"] == 1
        assert (await hear(other, "push"))["text"] == "for you"
        await one.send(json.dumps({"type": "push", "to": "everyone", "text": "for all"}))
        assert (await hear(one, "push"))["text"] == (await hear(other, "push"))["text"] == "for all"


async def test_chat_rooms_are_apart(served: Served) -> None:
    """`/chat/{room}` brings what is said to the room, and to no other room."""
    async with AsyncExitStack() as stack:
        ada, bob, eve = [
            await stack.enter_async_context(served.connect(path))
            for path in ("/chat/lobby", "/chat/lobby", "/chat/attic")
        ]
        welcome = await hear(bob, "welcome")
        assert (welcome["room"], len(welcome["members"])) == ("lobby", 2)
        assert (await hear(ada, "joined"))["member"]["id"] == welcome["id"]
        await ada.send(json.dumps({"type": "say", "text": "good morning"}))
        for member in (ada, bob):
            assert (await hear(member, "message"))["text"] == "good morning"
        await eve.send(json.dumps({"type": "who"}))
        assert [json.loads(await eve.recv())["type"] for _ in range(2)] == ["welcome", "who"]


@pytest.mark.parametrize("path", ["/live", "/echo", "/chat/lobby"])
async def test_only_the_own_origin_may_connect(served: Served, path: str) -> None:
    """A page of the gateway's own origin connects; one from elsewhere gets 403."""
    async with served.connect(path, origin=served.http_url("")):
        pass
    for origin in ("https://example.com", "null", served.http_url("").replace("http", "https")):
        with pytest.raises(InvalidStatus) as refused:
            await served.connect(path, origin=origin)
        assert refused.value.response.status_code == 403


async def test_health_is_told(served: Served) -> None:
    """`/healthz` and `/readyz` answer 200."""
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz"):
            assert (await session.get(served.http_url(path))).status == 200


async def test_api_is_off_until_a_token_is_set(
    served: Served, serve_gateway: Callable[..., Awaitable[Served]]
) -> None:
    """Without a token the API's path is unknown; with one a bearer of it reaches everyone."""
    body = {"everyone": True, "data": {"news": "good"}}
    environ = {"GATEWAY_API_TOKEN": "a-token-for-this-test"}
    opened = await serve_gateway(SHIPPED.read_text("utf-8"), environ=environ)
    bearer = {"Authorization": "Bearer a-token-for-this-test"}
    async with aiohttp.ClientSession() as session, opened.connect("/chat/lobby") as connection:
        await hear(connection, "welcome")
        assert (await session.post(served.admin_url("/api/publish"), json=body)).status == 404
        url = opened.admin_url("/api/publish")
        assert (await session.post(url, json=body)).status == 401
        answer = await session.post(url, json=body, headers=bearer)
        assert (answer.status, (await answer.json())["connections"]) == (200, 1)
        assert json.loads(await connection.recv()) == {"news": "good"}
    assert "a-token-for-this-test" not in opened.stream.getvalue()


async def test_a_certificate_makes_it_secure(
    tmp_path: Path, serve_gateway: Callable[..., Awaitable[Served]]
) -> None:
    """With a certificate the same port serves wss, to clients that check it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    (tmp_path / "key.pem").write_bytes(issued.private_key_pem.bytes())
    (tmp_path / "chain.pem").write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    config = yaml.safe_load(SHIPPED.read_text("utf-8"))
    config["listen"]["tls"] = {"certificate": str(tmp_path / "chain.pem"), "key": str(tmp_path / "key.pem")}
    served = await serve_gateway(yaml.safe_dump(config, allow_unicode=True))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with served.connect("/echo", ssl=trust) as connection:
        assert await exchange(connection, "hello") == f"{ANNOUNCEMENT}hello"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
        session.ws_connect(served.url("/live")) as live,
    ):
        assert (await live.receive_json())["type"] == "snapshot"
    with pytest.raises(ssl.SSLCertVerificationError):
        await served.connect("/echo", ssl=ssl.create_default_context())


def test_comments_name_the_real_defaults() -> None:
    """The default that a key's comment names is that of a model, in the gateway or in a bundled plugin."""
    defaults: dict[str, list[Any]] = {}
    for model in models():
        for name, info in model.model_fields.items():
            default = (
                None
                if info.is_required()
                else info.get_default(call_default_factory=True, validated_data={"path": ""})
            )
            defaults.setdefault(name, []).append(default)
    named = re.findall(
        r"^ *(?:# )? *(\w+): (?:\S.*?) +# .*Default: (.+?)\.?$", SHIPPED.read_text("utf-8"), re.MULTILINE
    )
    checked = 0
    for name, words in named:
        value = yaml.safe_load(words)
        known = defaults.get(name, [])
        if words == "none":
            assert any(default in EMPTY for default in known), name
        elif isinstance(value, int | float) or " " not in value:
            assert value in known or value == "both", f"{name}: {value}"
            checked += 1
    assert checked > 30


def models() -> Iterator[type[BaseModel]]:
    """Give the model of each part of the file."""
    prepared = prepare(SHIPPED, {})
    seen: set[type[BaseModel]] = set()
    waiting: list[Any] = [GatewayConfig]
    while waiting:
        model = waiting.pop()
        for info in model.model_fields.values():
            waiting += [part for part in parts(info.annotation) if part not in seen]
            seen.update(parts(info.annotation))
        yield model
    for choices in prepared.handlers:
        yield from (type(choice.options) for choice in choices)
    yield from (type(options) for options in prepared.plugin_options.values())


def parts(annotation: Any) -> set[Any]:
    """Find the models within an annotation."""
    within = getattr(annotation, "__args__", ())
    found = {part for inner in within for part in parts(inner)}
    return found | {annotation} if hasattr(annotation, "model_fields") else found
