"""Tests of the figures of a node: each is documented, and each is counted."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections import Counter
from typing import Any

import pytest

from gateway import Handler
from gateway.observe.metrics import Metrics

FIELDS = [field.name for field in dataclasses.fields(Metrics)]


def documented() -> dict[str, str]:
    """Give the text that stands under each field."""
    (class_,) = ast.parse(inspect.getsource(Metrics)).body
    assert isinstance(class_, ast.ClassDef)
    found: dict[str, str] = {}
    for statement, after in zip(class_.body, class_.body[1:], strict=False):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr)):
            continue
        assert isinstance(statement.target, ast.Name)
        assert isinstance(after.value, ast.Constant)
        found[statement.target.id] = str(after.value.value)
    return found


@pytest.mark.parametrize("name", FIELDS)
def test_a_figure_says_what_it_counts(name: str) -> None:
    """Each field is followed by a sentence."""
    text = documented()[name]
    assert text[0].isupper()
    assert text.endswith(".")


def test_a_figure_begins_at_nothing() -> None:
    """A node that has just started has counted nothing, and two nodes share no counter."""
    metrics = Metrics()
    assert all(not getattr(metrics, name) for name in FIELDS)
    metrics.refusals["draining"] += 1
    assert Metrics().refusals == Counter()


async def test_the_figures_of_a_served_connection(serve_gateway: Any) -> None:
    """A connection's life is counted: opening, messages, publication, bytes, and its end."""

    class Fan(Handler):
        def on_message(self, connection: Any, message: str | bytes) -> None:
            connection.send(message)
            connection.publish("fan", message)

    text = "routes: [{path: /fan, allow_missing_origin: true, groups: [fan], handlers: [fan-out]}]"
    server = await serve_gateway(text, handlers={"fan-out": Fan})
    metrics = server.node.metrics
    async with server.connect("/fan") as client:
        await client.send("four")
        assert [await client.recv(), await client.recv()] == ["four", "four"]
        assert metrics.connections == 1
    assert metrics.connections_opened == 1
    assert metrics.messages_in == 1
    assert metrics.messages_out == 2
    assert (metrics.publications, metrics.deliveries) == (1, 1)
    # In: two masked frames, of four bytes and of a close code. Out: the 101, two frames, a close frame.
    assert metrics.bytes_in == 2 + 4 + 4 + 2 + 4 + 2
    assert metrics.bytes_out > (2 + 4) * 2 + 2 + 2
    assert metrics.closes == Counter({1000: 1})
    assert metrics.connections == 0
