"""The examples of the author's guide and reference, each run as it stands.

A block of Python without definitions stands in an event of a handler: it is run in one, with `connection`,
`node` and `message` at hand. One with hooks or handlers is served. How it is tried stands before it, in a
comment that readers do not see: `<!-- try`, lines, `-->`. The lines, with `a` and `b` for clients:

    a @ /path {"token": "t"}  connect; without it, a client connects to the route at its first line
    a > text, a < text        send, or receive; 0x... is binary, and JSON is compared as such
    a .                       nothing more has come
    a ! 4000 text             the connection ends so
    a -                       the client closes
    a x 403 /path             the opening handshake is refused
    GET /path = text          what plain HTTP answers
    clock 5                   the clock is turned
    publish group text        the node publishes
    set {key: value}          keys of the route; `yaml {key: value}`: of the whole file
    sql FILE STATEMENT        what is in a database when the gateway starts
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
import yaml
from websockets.exceptions import InvalidStatus

import gateway
from gateway import Handler
from gateway.testing import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PLUGINS: Final = Path(__file__).parents[2] / "plugins"
BLOCK: Final = re.compile(r"(?:<!-- try\n(?P<talk>.*?)-->\s*)?```python\n(?P<code>.*?)```", re.DOTALL)
ADA: Final = "the-token-of-ada-0123456789"
BOB: Final = "the-token-of-bob-0123456789"
CONFIG: Final = {
    "plugins": {"live": {"enabled": False}, "chat": {"enabled": False}},
    "groups": [
        {"pattern": "news", "history": {"size": 100, "seconds": 60}},
        {"pattern": "room:*", "presence": True, "presence_grace_seconds": 0},
    ],
    "authentication": {
        "token": {
            "keys": [
                {"name": "ada", "user": "ada", "token": ADA},
                {"name": "bob", "user": "bob", "token": BOB},
            ]
        }
    },
}


class Example(NamedTuple):
    """A block of Python in a document."""

    place: str
    code: str
    talk: tuple[str, ...]

    @property
    def stands_alone(self) -> bool:
        """Whether it is a module, and not some lines of an event."""
        return any(
            getattr(node, "decorator_list", None) or isinstance(node, ast.ClassDef)
            for node in ast.parse(self.code).body
        )


def examples() -> list[Example]:
    """Give the examples of both documents, but for tests, and what is for tornado: see their own tests."""
    found = []
    for name in ("README.md", "REFERENCE.md"):
        text = (PLUGINS / name).read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            before = text[: match.start("code")]
            if "def test_" in match["code"] or "from tornado" in match["code"]:
                continue
            talk = tuple(filter(None, (match["talk"] or "").splitlines()))
            found.append(Example(f"{name}:{before.count(chr(10)) + 1}", match["code"], talk))
    return found


EXAMPLES: Final = examples()


async def test_lines_of_an_event_run(tmp_path: Path) -> None:
    """Each example that stands in an event runs in one."""
    failed: dict[str, BaseException] = {}
    done = 0

    class Event(Handler):
        async def on_message(self, connection, message):
            nonlocal done
            for example in EXAMPLES:
                if example.place == message:
                    names = {name: getattr(gateway, name) for name in gateway.__all__}
                    names |= {"connection": connection, "node": connection.node, "message": "hello"}
                    code = compile(example.code, message, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                    try:
                        if (waiting := eval(code, names)) is not None:  # noqa: S307 - our own document
                            await waiting
                    except Exception as exc:  # noqa: BLE001 - told below, with its place
                        failed[message] = exc
                    done += 1

    lines = [example for example in EXAMPLES if not example.stands_alone]
    route = {"authenticate": ["token"], "groups": ["room:lobby", "news"]}
    async with serve(tmp_path, configuration(Event, route, {}), handlers={"Event": Event}) as server:
        for example in lines:
            async with server.client(token=ADA) as client:
                await client.send(example.place)
                while not (example.place in failed or done > lines.index(example)):
                    await asyncio.sleep(0)
        assert failed == {}
        assert done == len(lines)
        assert server.errors == []


@pytest.mark.parametrize(
    "example", [each for each in EXAMPLES if each.stands_alone], ids=lambda each: each.place
)
async def test_an_example_does_what_it_says(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway_clock: Any
) -> None:
    """Each example with handlers or hooks is served, and its conversation goes as it says."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType(f"example_{example.place.partition(':')[2]}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example.code, example.place, "exec"), module.__dict__)  # noqa: S102 - our own document
    own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
    handlers = [value for value in own if isinstance(value, type) and issubclass(value, Handler)]
    plugin = getattr(module, "plugin", module)
    hooks = {name for name in dir(plugin) if name.startswith("gateway_")}
    assert handlers or hooks, "neither a handler nor a hook"
    assert example.talk or not handlers, "there is no comment that says how to try it"
    route, whole, talk = settings(example.talk)
    handler = handlers[-1] if handlers else Echo
    served = serve(
        tmp_path,
        configuration(handler, route, whole),
        handlers={} if "gateway_handlers" in hooks else {handler.__name__: handler},
        plugins=[plugin] if hooks else [],
        clock=gateway_clock if any(line.startswith("clock ") for line in talk) else None,
    )
    async with served as server:
        clients: dict[str, Any] = {}
        for line in talk:
            try:
                await act(server, clients, line, gateway_clock)
            except BaseException as exc:
                exc.add_note(f"at {line!r} of {example.place}")
                raise
        for client in clients.values():
            await client.close()
        assert [error for error in server.errors if error["event"] != "connection_closed"] == []


class Echo(Handler):
    """What a hook is tried with."""

    def on_message(self, connection: Any, message: str | bytes) -> None:
        """Send it back."""
        connection.send(message)


def settings(lines: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Take the keys of the route, those of the whole file and the conversation apart."""
    route: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    talk = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "sql":
            file, _, statement = rest.partition(" ")
            with closing(sqlite3.connect(file)) as database, database:
                database.execute(statement)
        elif word in {"set", "yaml"}:
            (route if word == "set" else whole).update(yaml.safe_load(rest))
        else:
            talk.append(line)
    return route, whole, talk


def configuration(handler: type[Handler[Any]], route: dict[str, Any], whole: dict[str, Any]) -> str:
    """Write a gateway.yaml of one route."""
    path = "/".join(["", "it", *map("{{{}}}".format, handler.required_params)])
    given = dict(route)
    name = given.pop("handler", handler.__name__)
    entry = {
        "path": path,
        "allow_missing_origin": True,
        "handlers": [{"name": name, "options": given.pop("options", {})}],
    }
    return json.dumps({**CONFIG, "routes": [entry | given], **whole}).replace("${", "$${")


def read(text: str) -> str | bytes:
    """Read a message as the conversation writes it."""
    return bytes.fromhex(text[2:]) if text.startswith("0x") else text.replace("ADA", ADA).replace("BOB", BOB)


async def act(server: Any, clients: dict[str, Any], line: str, clock: Any) -> None:
    """Do what a line of a conversation says."""
    who, _, rest = line.partition(" ")
    verb, _, what = rest.partition(" ")
    if who == "clock":
        await clock.turn(float(rest))
    elif who == "publish":
        server.node.publish(verb, read(what))
    elif who == "GET":
        path, _, expected = rest.partition(" = ")
        assert (await server.request("GET", path)).text == expected
    elif verb in {"@", "x"}:
        status, what = (what.split(" ", 1)[0], what.partition(" ")[2]) if verb == "x" else ("", what)
        path, _, options = what.partition(" ")
        options = json.loads(read(options or "{}"))
        if verb == "x":
            with pytest.raises(InvalidStatus) as caught:
                await server.client(path or None, **options)
            assert caught.value.response.status_code == int(status)
        else:
            clients[who] = await server.client(path or None, **options)
    else:
        if who not in clients:
            clients[who] = await server.client()
        await VERBS[verb](clients[who], what)


async def receive(client: Any, what: str) -> None:
    """Receive a message; compare JSON as such."""
    message = await client.receive()
    if what[:1] in {"{", "["}:
        assert json.loads(message) == json.loads(what)
    else:
        assert message == read(what)


async def close(client: Any, what: str) -> None:
    """Wait for the end."""
    code, _, reason = what.partition(" ")
    await client.expect_close(int(code), reason or None)


VERBS: Final[dict[str, Callable[[Any, str], Awaitable[None]]]] = {
    ">": lambda client, what: client.send(read(what)),
    "<": receive,
    ".": lambda client, _: client.expect_nothing(),
    "!": close,
    "-": lambda client, _: client.close(),
}
