"""Tests of the commands over the HTTP API: `gateway who`, `publish` and `kick`."""

from __future__ import annotations

import asyncio
import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

    Command = Callable[..., Awaitable[Any]]

YAML = """
admin: {port: 0}
api: {tokens: [{name: ops, token: "${GATEWAY_API_TOKEN:-ops-1}"}]}
authentication: {token: {keys: [{name: a, user: ann, token: ann-1}, {name: b, user: bob, token: bob-1}]}}
groups: [{pattern: "kept", history: {}}]
routes:
  - path: "/in/{room}"
    name: in
    allow_missing_origin: true
    authenticate: [token]
    groups: ["room:{room}", kept]
    handlers: [echo]
"""


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with an API."""
    return await serve_gateway(YAML)


@pytest.fixture
def command(server: Served, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A function that runs a command against the gateway; gives status, standard output and error."""
    monkeypatch.setenv("GATEWAY_URL", server.admin_url(""))
    monkeypatch.setenv("GATEWAY_API_TOKEN", "ops-1")

    async def command(words: str, **options: Any) -> tuple[int, str, str]:
        return await invoke(words, **options)

    return command


async def invoke(words: str, **options: Any) -> tuple[int, str, str]:
    """Run a command in a thread, since it waits for the gateway, which serves in this one."""
    done = await asyncio.to_thread(CliRunner().invoke, app, shlex.split(words), **options)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


async def test_who(server: Served, command: Command) -> None:
    """It lists connections with user, route and groups, those that fit, as a table or as JSON, in pages."""
    async with (
        server.client("/in/1", token="ann-1"),
        server.client("/in/2", token="ann-1"),
        server.client("/in/2", token="bob-1"),
    ):
        for options, users in (
            ("", ["ann", "ann", "bob"]),
            ("--user bob", ["bob"]),
            ("--group room:2", ["ann", "bob"]),
            ("--route out", []),
            ("--search BO", ["bob"]),
            ("--user ann --group room:1", ["ann"]),
            ("--limit 2", ["ann", "ann"]),
        ):
            status, out, err = await command(f"who --format json {options}")
            assert (status, [json.loads(line)["user"] for line in out.splitlines()]) == (0, users), err
            status, out, err = await command(f"who {options}")
            assert out.splitlines()[0].split()[:4] == ["connection", "user", "route", "address"]
            assert [line.split()[1] for line in out.splitlines()[1:]] == users
            assert err.startswith(f"{len(users)} of ")


async def test_publish(server: Served, command: Command) -> None:
    """A message goes to groups, a user or everyone: as text, JSON or binary, from standard input too."""
    async with server.client("/in/1", token="ann-1") as ann, server.client("/in/2", token="bob-1") as bob:
        status, out, _ = await command("publish --group room:1 -g room:2 hello")
        told = "published, to 1 connections of the node that was asked"
        assert (status, out.splitlines()) == (0, [f"room:1: {told}", f"room:2: {told}"])
        assert [await ann.receive(), await bob.receive()] == ["hello", "hello"]
        await command("publish --user ann -", input="line\nline\n")
        assert await ann.receive() == "line\nline"
        await command("""publish --everyone --json '{"a": [1]}'""")
        assert [await ann.receive(), await bob.receive()] == ['{"a":[1]}'] * 2
        await command("publish --user bob --binary -", input=b"\x00\xff")
        assert await bob.receive() == b"\x00\xff"
        _, first, _ = await command("publish --group kept --key k once")
        _, second, _ = await command("publish --group kept --key k once")
        assert "at offset" in first
        assert second.startswith("kept: published before with this key")
        assert await ann.receive() == "once"


async def test_kick(server: Served, command: Command) -> None:
    """Connections that fit are closed, with 4410 or as is said."""
    async with server.client("/in/1", token="ann-1") as ann, server.client("/in/1", token="bob-1") as bob:
        assert (await command("kick --user ann"))[1].endswith("1 connections end\n")
        assert (await ann.expect_close()).code == 4410
        _, out, _ = await command("who --format json")
        number = json.loads(out)["id"]
        assert (await command(f"kick {number} --code 4000 --reason bye"))[0] == 0
        closed = await bob.expect_close()
        assert (closed.code, closed.reason) == (4000, "bye")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("publish hello", "exactly one of --group, --user and --everyone is needed"),
        ("publish -g a --everyone hello", "exactly one of"),
        ("publish -g a --json --binary 1", "--json and --binary are not for one message"),
        ("publish -g a --json {", "message is not json"),
        ("publish -g '$everyone' hello", "refused: 400 groups[0]: groups whose names begin with $"),
        ("kick", "at least one of CONNECTION, --user, --group and --route is needed"),
        ("kick --user a --code 1005", "refused: 400 code: no close code that may be sent"),
        ("who --token wrong", "refused: 401 valid credentials are required"),
        ("who --token 'a b\n'", "token has a character that no header can carry"),
        ("who --url http://127.0.0.1:1", "cannot ask http://127.0.0.1:1: "),
        ("who --url nonsense", "cannot ask nonsense"),
    ],
)
async def test_errors(command: Command, words: str, error: str) -> None:
    """What is wrong is said in a line, with status 1 and no traceback."""
    status, out, err = await command(words)
    assert (status, out) == (1, "")
    assert err.startswith(error), err
    assert err.count("\n") == 1


async def test_where_it_is(
    server: Served, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address and token are those of the file, unless the environment says otherwise."""
    for name in ("GATEWAY_URL", "GATEWAY_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    write(YAML.replace("port: 0", f"port: {server.admin_port}"))
    assert (await invoke("who"))[2] == "0 of 0 connections\n"
    monkeypatch.setenv("GATEWAY_API_TOKEN", "wrong")
    assert "401" in (await invoke("who"))[2]
    assert (await invoke("who --token ops-1"))[0] == 0
    monkeypatch.delenv("GATEWAY_API_TOKEN")
    write(
        f"{{admin: {{port: {server.admin_port}}}, api: {{tokens: [{{name: r, token: r, scopes: [read]}}]}}}}"
    )
    assert "401" in (await invoke("who"))[2]
    assert "no token with the scope publish" in (await invoke("publish -g g x"))[2]
    write(f"{{listen: {{port: {server.port}}}, api: {{tokens: [{{name: ops, token: ops-1}}]}}}}")
    assert "there is no such API at" in (await invoke("who"))[2]
    write("{listen: {port: 0}, api: {tokens: [{name: ops, token: ops-1}]}}")
    assert "the port is a free one" in (await invoke("who"))[2]
    write("listen: {prot: 1}")
    assert "unknown key" in (await invoke("who"))[2]


async def test_over_a_unix_socket(
    serve_gateway: Callable[..., Awaitable[Served]], write: Callable[[str], Path], folder: Path
) -> None:
    """Where the API is on a unix-domain socket it is asked there."""
    text = "{listen: {unix: g.sock}, api: {tokens: [{name: ops, token: ops-1}]}}"
    write(text)
    server = await serve_gateway("{api: {tokens: [{name: ops, token: ops-1}]}}")

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async with await asyncio.start_unix_server(carry, folder / "g.sock"):
        assert (await invoke("who"))[2] == "0 of 0 connections\n"
