from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from gateway.app.check import check_everything
from gateway.broker.server_process import answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

JWT = (
    "authentication: {{jwt: {{issuers: [{{issuer: a, audience: b, algorithms: [{algorithm}], "
    "jwks: {jwks}}}]}}}}"
)


@pytest.fixture
def service() -> Iterator[tuple[int, dict[str, tuple[int, Any]]]]:
    """A plain HTTP service: its port, and what it answers by path, which the test fills in."""
    known: dict[str, tuple[int, Any]] = {}

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = known.get(self.path, (404, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, known
        server.shutdown()
        thread.join()


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., list[str]]:
    """A function that checks a text, asking the services too; it gives what is said, without the file."""

    def check(text: str, *, online: bool = True) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text("listen: {port: 0}\n" + text)
        problems, _ = check_everything(file, {}, online=online)
        return [str(problem).removeprefix(f"{file}:") for problem in problems]

    return check


def test_a_broker_that_is_down(check: Callable[..., list[str]]) -> None:
    """Each server that cannot be reached is an error at its line, and only when it is asked."""
    text = "broker: {type: KIND, urls: ['KIND://127.0.0.1:1', 'KIND://127.0.0.1:2']}"
    for kind, column in (("nats", 29), ("valkey", 31)):
        told = check(text.replace("KIND", kind))
        assert [line.partition(": broker cannot")[0] for line in told] == [
            f"2:{column}: broker.urls[0]",
            f"2:{column + len(kind) + 18}: broker.urls[1]",
        ]
        assert check(text.replace("KIND", kind), online=False) == []


async def test_a_broker_that_is_there(check: Callable[..., list[str]], nats: str) -> None:
    """A server that takes the credentials is good; where one does, another that does not is a warning."""
    text = f"broker: {{type: nats, token: right, urls: ['{nats}']}}"
    assert await asyncio.to_thread(check, text) == []
    (line,) = await asyncio.to_thread(check, text.replace("right", "hush"))
    assert "broker.urls[0]: broker cannot be reached: " in line
    assert "uthorization" in line
    assert "hush" not in line
    (line,) = await asyncio.to_thread(check, text.replace("]}", ", 'nats://127.0.0.1:1']}"))
    assert "broker.urls[1]: warning: broker cannot be reached" in line


@pytest.fixture
async def nats(tmp_path: Path) -> Any:
    """The URL of a NATS server that asks for the token `right`."""
    from gateway.broker.embedded import find_program  # noqa: PLC0415 - only here

    program = find_program()
    assert program is not None
    ports = tmp_path / "ports"
    ports.mkdir()
    server = await asyncio.create_subprocess_exec(
        *(program, "--addr", "127.0.0.1", "--port", "-1", "--auth", "right", "--ports_file_dir", str(ports)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            while not (found := [file.read_text() for file in ports.iterdir()]) or not found[0]:
                await asyncio.sleep(0.01)
            url: str = json.loads(found[0])["nats"][0]
            while not await answers("127.0.0.1", int(url.rpartition(":")[2]), "right", 1):
                await asyncio.sleep(0.01)
        yield url
    finally:
        server.kill()
        await server.wait()


def test_published_keys(check: Callable[..., list[str]], service: tuple[int, dict[str, Any]]) -> None:
    """A key set that is there and fits is good; one that is not, or is none, is told at its URL."""
    port, known = service
    key = RSAAlgorithm.to_jwk(generate_private_key(65537, 2048).public_key(), as_dict=True)
    known["/good"] = (200, {"keys": [{**key, "kid": "a"}]})
    known["/junk"] = (200, ["keys"])

    def judge(path: str, algorithm: str = "RS256") -> list[str]:
        jwks = f"{{url: 'http://127.0.0.1:{port}{path}', allow_http_on_loopback: true}}"
        place = "authentication.jwt.issuers[0].jwks.url: "
        lines = check(JWT.format(algorithm=algorithm, jwks=jwks))
        assert all(place in line for line in lines)
        return [line.partition(place)[2] for line in lines]

    assert judge("/good") == []
    assert judge("/none") == ["issuer's keys cannot be had: answer has status 404"]
    assert judge("/junk") == ["issuer's keys cannot be had: answer has no list of keys"]
    assert judge("/good", "ES256") == ["warning: no key of the key set fits the algorithms, 1 left out"]


@pytest.mark.parametrize(
    ("status", "told"),
    [(401, []), (403, []), (500, ["service gives no answer that is one: the service answered 500"])],
)
def test_the_service_of_forward(
    check: Callable[..., list[str]], service: tuple[int, dict[str, Any]], status: int, told: list[str]
) -> None:
    """A service that refuses a question without credentials is there; one that fails is not."""
    port, known = service
    known["/who"] = (status, {})
    lines = check(f"authentication: {{forward: {{url: 'http://127.0.0.1:{port}/who'}}}}")
    assert [line.partition("authentication.forward.url: ")[2] for line in lines] == told


def test_history_that_a_plugins_broker_cannot_keep(tmp_path: Path) -> None:
    """A broker that does not say that it keeps history is refused where a group needs it."""
    from gateway.app.prepare import judge  # noqa: PLC0415 - only here
    from gateway.plugin.broker import PluginBroker  # noqa: PLC0415 - only here
    from gateway.plugin.manager import Plugin  # noqa: PLC0415 - only here
    from gateway.plugin.marker import hookimpl  # noqa: PLC0415 - only here

    class Forgets(PluginBroker):  # type: ignore[type-arg]
        """A broker without history."""

    class Keeps(PluginBroker):  # type: ignore[type-arg]
        """A broker with it."""

        keeps_history = True

    class Brokers:
        @hookimpl
        def gateway_brokers(self) -> Any:
            """Name both."""
            return {"forgets": Forgets, "keeps": Keeps}

    plugin = Plugin("brokers", "broker-plugin", "1", Brokers())
    file = tmp_path / "gateway.yaml"
    for kind, told in (
        ("keeps", []),
        (
            "forgets",
            ["groups[1].history: group keeps history, and the broker 'forgets' cannot"],
        ),
    ):
        file.write_text(
            f"groups: [{{pattern: a}}, {{pattern: b, history: {{}}}}]\nbroker: {{type: {kind}}}\n"
        )
        lines = [str(problem).partition(": ")[2] for problem in judge(file, {}, [plugin]).problems]
        assert lines == told
