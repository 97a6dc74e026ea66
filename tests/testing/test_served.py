"""Tests of what plugin authors test with: a real gateway within a test."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from pydantic import Field
from websockets.exceptions import InvalidStatus

from gateway import GatewayError, Handler, Node, Options, hookimpl
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

pytest_plugins = ["pytester"]

ECHO = "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]"


class Greeter(Handler):
    """A handler that is not installed."""

    def on_open(self, connection: Any) -> None:
        """Greet."""
        connection.send("hello")


class RoomOptions(Options):
    """Options of a handler that needs a parameter."""

    word: str = Field(default="in", min_length=1)


class Room(Handler[RoomOptions]):
    """A handler that needs a parameter of the path."""

    required_params = ("room",)

    def on_open(self, connection: Any) -> None:
        """Tell where the client is."""
        connection.send(f"{self.options.word} {connection.params['room']} as {connection.identity}")


class TestHandler:
    """A handler class in place of a configuration."""

    async def test_a_class_is_served(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """A handler class is served at a path that has what it needs."""
        server = await serve_gateway(Room)
        assert (server.path, server.handlers) == ("/room/room", (Room,))
        async with server.client() as client:
            assert await client.receive() == "in room as None"

    @pytest.mark.parametrize("options", [{"word": "${HOME} of"}, RoomOptions(word="${HOME} of")])
    async def test_its_options_and_its_route(
        self, serve_gateway: Callable[..., Awaitable[Served]], options: Any
    ) -> None:
        """Options are given as such or as a mapping, and meant as they are; so is the rest of a route."""
        server = await serve_gateway(
            Room, options=options, path="/at/{room}", route={"allow_missing_origin": False, "name": "at"}
        )
        with pytest.raises(InvalidStatus):
            await server.client("/at/home")
        async with server.client("/at/home", origin=server.origin) as client:
            assert await client.receive() == "${HOME} of home as None"
        assert server.config.routes[0].name == "at"

    async def test_bad_options_are_refused(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """They are judged as gateway.yaml would be."""
        with pytest.raises(GatewayError, match="word"):
            await serve_gateway(Room, options={"word": ""})

    async def test_a_file_is_served(
        self, serve_gateway: Callable[..., Awaitable[Served]], tmp_path: Path
    ) -> None:
        """A path is that of a configuration."""
        file = tmp_path / "some.yaml"
        file.write_text(ECHO)
        server = await serve_gateway(file)
        async with server.client() as client:
            assert await client.ask("hello") == "hello"


class TestServeGateway:
    """The fixture `serve_gateway`."""

    async def test_it_serves(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """A configuration is served on a free port, with the installed plugins, for any client."""
        server = await serve_gateway(ECHO)
        assert isinstance(server.node, Node)
        assert server.url("/echo") == f"ws://localhost:{server.port}/echo"
        assert server.http_url("/healthz") == f"http://localhost:{server.port}/healthz"
        async with server.connect("/echo") as client:
            await client.send("to and fro")
            assert await client.recv() == "to and fro"
            assert [connection.path for connection in server.node.connections()] == ["/echo"]
        async with aiohttp.ClientSession() as session, session.get(server.http_url("/healthz")) as answer:
            assert answer.status == 200

    async def test_the_options_of_connect_are_those_of_websockets(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Headers, subprotocols and the like are given as to the library's own `connect`."""
        text = "routes: [{path: /echo, allowed_origins: ['https://a.example'], subprotocols: [b, a]}]"
        server = await serve_gateway(text)
        options: dict[str, Any] = {"origin": "https://a.example", "subprotocols": ["a", "b"]}
        async with server.connect("/echo", **options) as client:
            assert client.subprotocol == "b"

    async def test_the_ports_of_the_file_are_not_used(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """The file that is shipped can be served as it is, twice at a time."""
        text = "listen: {host: 192.0.2.1, port: 80}\n" + ECHO
        first, second = await serve_gateway(text), await serve_gateway(text)
        assert first.port != second.port
        for server in (first, second):
            async with server.connect("/echo"):
                pass

    async def test_handlers_that_are_not_installed(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """A handler class may be given under the name that a route uses."""
        server = await serve_gateway(
            "routes: [{path: /greet, allow_missing_origin: true, handlers: [greeter]}]",
            handlers={"greeter": Greeter},
        )
        async with server.connect("/greet") as client:
            assert await client.recv() == "hello"

    async def test_plugins_that_are_not_installed(
        self, serve_gateway: Callable[..., Awaitable[Served]]
    ) -> None:
        """Objects with hooks are plugins of the served gateway."""
        begun: list[Node] = []

        class Own:
            @hookimpl
            def gateway_handlers(self) -> dict[str, type[Handler[Any]]]:
                return {"greeter": Greeter}

            @hookimpl
            def gateway_start(self, node: Node) -> None:
                begun.append(node)

        server = await serve_gateway("routes: [{path: /greet, handlers: [greeter]}]", plugins=[Own()])
        assert begun == [server.node]

    async def test_values_of_the_environment(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """`${NAME}` finds what the test gives, and never what the test's own process has."""
        text = "log: {level: '${LEVEL:-warning}'}\n" + ECHO
        server = await serve_gateway(text, environ={"LEVEL": "error"})
        assert server.gateway._prepared.config.log.level == "error"
        with pytest.raises(GatewayError, match="PATH"):
            await serve_gateway("log: {level: '${PATH}'}")

    async def test_over_tls(self, serve_gateway: Callable[..., Awaitable[Served]], tmp_path: Path) -> None:
        """With a certificate the URLs are wss and https."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "all.pem")
        file = tmp_path / "all.pem"
        server = await serve_gateway(f"listen: {{tls: {{certificate: {file}, key: {file}}}}}\n{ECHO}")
        assert server.url("/echo").startswith("wss://")
        assert server.http_url("/").startswith("https://")


class TestLog:
    """What the gateway logs while it serves a test."""

    async def test_the_log_is_read_as_it_grows(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """Log lines are mappings, at level debug and up, whatever the file says."""
        server = await serve_gateway("log: {level: error, format: console}\n" + ECHO)
        assert [line["event"] for line in server.log] == ["started"]
        server.node.log.debug("of-the-test", number=3)
        assert (server.log[-1]["event"], server.log[-1]["number"]) == ("of-the-test", 3)


class TestErrors:
    """A configuration that is not good."""

    async def test_every_error_has_its_line(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """The error is one of the gateway's, with a line for each fault."""
        with pytest.raises(GatewayError) as caught:
            await serve_gateway("routes:\n  - path: /a\n    handlers: [ecco]\n    overflow: never\n")
        first, second = str(caught.value).splitlines()
        assert ":3:16: routes[0].handlers[0]: " in first
        assert "(did you mean 'echo'?)" in first
        assert ":4:15: routes[0].overflow: " in second

    async def test_a_faulty_plugin_is_named(self, serve_gateway: Callable[..., Awaitable[Served]]) -> None:
        """A plugin under test is judged like an installed one."""

        class Own:
            @hookimpl
            def gateway_strat(self, node: Node) -> None: ...

        with pytest.raises(GatewayError, match="there is no hook gateway_strat"):
            await serve_gateway(ECHO, plugins=[Own()])


async def test_serve_ends_with_its_block(tmp_path: Path) -> None:
    """`serve` frees its port and closes its connections at the end of the block."""
    async with serve(tmp_path, ECHO) as server:
        port = server.port
        client = await server.connect("/echo")
    await client.wait_closed()
    assert client.close_code == 1001
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_leaked_server_is_stopped(pytester: pytest.Pytester) -> None:
    """A server and a connection that a test leaves open end with the test, which passes."""
    pytester.makepyfile("""
        import socket

        PORTS = []

        async def test_leak(serve_gateway):
            text = "routes: [{path: /echo, allow_missing_origin: true, handlers: [echo]}]"
            server = await serve_gateway(text)
            client = await server.connect("/echo")
            PORTS.append(server.port)

        async def test_leak_of_a_failure(serve_gateway):
            server = await serve_gateway("routes: []")
            PORTS.append(server.port)
            raise RuntimeError("on purpose")

        def test_after():
            assert len(PORTS) == 2
            for port in PORTS:
                socket.create_server(("127.0.0.1", port)).close()
    """)
    arguments = (
        "-p",
        "no:cacheprovider",
        "-o",
        "asyncio_mode=auto",
        "-o",
        "asyncio_default_fixture_loop_scope=function",
    )
    result = pytester.runpytest_subprocess(*arguments)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: on purpose*"])
