"""Tests that hold the reference for authors against the code: all is there, with its own signature."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, Final

import pytest

import gateway
from gateway import Connection, Handler, Node, testing
from gateway.plugin import hookspecs

PLUGINS: Final = Path(__file__).parents[2] / "plugins"
REFERENCE: Final = (PLUGINS / "REFERENCE.md").read_text(encoding="utf-8")

# What of public classes is for the rest of the gateway only. A new method is here, or in the reference.
OWN: Final = {
    "connection": {
        *("apart", "begin_close", "compression", "handler_failed", "joined", "number", "on_gap"),
        *("particular", "rate", "refuse_event", "refuse_rate", "refuse_type", "regrouped", "resume_set"),
        "send_envelope",
        # Of the send queue that it is:
        *("count_mixed", "discard_queue", "enqueue", "enqueue_close", "flush", "own_queue"),
        *("pause_writing", "release_waiters", "relieve", "resume_writing"),
    },
    "node": {
        *("broker_is_down", "close_all", "connection_id", "deadlines", "drain", "forget_socket"),
        *("next_connection_number", "rounds", "run_in_thread_of", "sockets", "start", "stop"),
    },
}


def section(name: str) -> str:
    """Give the section of a name; empty if there is none."""
    return f"\n{REFERENCE}".partition(f"\n### {name}\n")[2].partition("\n### ")[0].partition("\n## ")[0]


def signature(function: Any, owner: str = "") -> str:
    """Give the signature of a function, or of a method of such an object, as the reference shows it."""
    shown = inspect.signature(function)
    if "self" in shown.parameters:
        shown = shown.replace(parameters=list(shown.parameters.values())[1:])
    text = str(shown.replace(return_annotation=inspect.Signature.empty))
    for parameter in shown.parameters.values():
        text = text.replace(repr(parameter.annotation), str(parameter.annotation))
    waits = "await " if inspect.iscoroutinefunction(function) else ""
    name = f"{owner}.{function.__name__}" if owner else function.__name__
    return f"{waits}{name}{text} -> {shown.return_annotation}"


def parts(cls: type) -> dict[str, Any]:
    """Give what a class has of its own and from its parents."""
    return {name: value for parent in reversed(cls.__mro__[:-1]) for name, value in vars(parent).items()}


def methods(owner: str, cls: type) -> list[tuple[str, Any, str]]:
    """Give a class's public methods: the heading, the function, the object's name."""
    return [
        (f"{owner}.{name}", value, owner)
        for name, value in parts(cls).items()
        if inspect.isfunction(value) and not name.startswith("_") and name not in OWN[owner]
    ]


CALLS: Final = [
    *((name, getattr(hookspecs, name), "") for name in hookspecs.__all__),
    *((name, value, "") for name, value in vars(Handler).items() if name.startswith("on_")),
    *methods("connection", Connection),
    *methods("node", Node),
]


@pytest.mark.parametrize(("name", "function", "owner"), CALLS, ids=[name for name, _, _ in CALLS])
def test_a_call_has_its_section(name: str, function: Any, owner: str) -> None:
    """Each hook, event and method has a section with its signature, and a small and a real example."""
    text = section(name)
    assert text, f"plugins/REFERENCE.md has no section {name!r}"
    assert f"```text\n{signature(function, owner)}\n```\n" in text
    assert text.count("```python\n") >= 2
    assert len(text.partition("```\n")[2].partition("```")[0]) > 80, "it does not say when it is called"


def test_no_section_is_of_the_past() -> None:
    """Each section is of something that there is."""
    there = {*(name for name, _, _ in CALLS), *gateway.__all__} - {"Connection", "Node"}
    assert set(re.findall(r"^### (.*)$", REFERENCE, re.MULTILINE)) == there


@pytest.mark.parametrize("name", sorted(set(gateway.__all__) - {"Connection", "Node"}))
def test_a_public_name_has_its_section(name: str) -> None:
    """Each name has one, and in it stands each of its fields and methods."""
    text = section(name)
    assert text, f"plugins/REFERENCE.md has no section {name!r}"
    value = getattr(gateway, name)
    if isinstance(value, type) and not issubclass(value, Handler):
        missing = {each for each in public_parts(value) if not re.search(rf"`[^`]*\b{each}\b[^`]*`", text)}
        assert missing == set()


def public_parts(cls: type) -> set[str]:
    """Give the names of a class's own fields, properties and methods, and of what an error is made with."""
    fields: set[str] = set()
    if dataclasses.is_dataclass(cls):
        fields = {field.name for field in dataclasses.fields(cls)}
    given = set(inspect.signature(cls.__init__).parameters) - {"self", "args", "kwargs"}
    told = {each for each in vars(cls) if not each.startswith("_") and each != "model_config"}
    fields |= told
    if issubclass(cls, tuple):
        fields |= set(cls._fields)  # type: ignore[attr-defined]
    if issubclass(cls, Exception):
        fields |= given
    return {each for each in fields if each not in INNER.get(cls.__name__, set())}


# Of the values, what brokers or the gateway itself use.
INNER: Final = {"Refusal": {"to_bytes"}, "BrokerStatus": {"is_down"}, "Timer": {"adopt"}}


@pytest.mark.parametrize(
    ("owner", "cls"), [("connection", Connection), ("node", Node)], ids=["connection", "node"]
)
def test_an_attribute_is_in_its_table(owner: str, cls: type) -> None:
    """Each public attribute and property of a connection, and each property of a node, is in the table."""
    table = REFERENCE.partition(f"\n## {owner.capitalize()}\n")[2].partition("\n### ")[0]
    named = {name for name, value in parts(cls).items() if isinstance(value, property)}
    if cls is Connection:
        named |= {*cls.__slots__, "node"}
    expected = {name for name in named if not name.startswith("_")} - OWN[owner]
    assert {name for name in expected if f"`{name}`" not in table} == set()


@pytest.mark.parametrize("name", testing.__all__)
def test_a_name_for_tests_is_documented(name: str) -> None:
    """Each is in the table, with its public methods and properties."""
    table = REFERENCE.partition("\n## gateway.testing\n")[2]
    row = re.search(rf"^\| `{name}[`(](.*)$", table, re.MULTILINE)
    assert row, f"plugins/REFERENCE.md has no row {name!r}"
    value = getattr(testing, name)
    if isinstance(value, type):
        inner = {"add", "admin_port", "admin_url", "call_later"}
        parts = {each for each in vars(value) if not each.startswith("_")} - inner
        assert {each for each in parts if not re.search(rf"`{each}[`(]", row[1])} == set()
