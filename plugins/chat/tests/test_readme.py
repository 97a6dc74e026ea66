"""The README, held against the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from gateway_chat import ChatOptions, errors, handler, incoming, outgoing

if TYPE_CHECKING:
    from pydantic import BaseModel

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

INCOMING = get_args(incoming.Incoming)
OUTGOING = outgoing.Outgoing.__subclasses__()


def row(first: str) -> str:
    """Give the row of a table that begins with this cell."""
    found: list[str] = re.findall(rf"^\| {re.escape(first)}.*$", README, re.MULTILINE)
    assert len(found) == 1, f"{len(found)} rows for {first}"
    return found[0]


@pytest.mark.parametrize("shape", INCOMING)
def test_each_message_of_a_client_has_a_row(shape: type[BaseModel]) -> None:
    """What a client may send stands in the table, with its fields."""
    (kind,) = get_args(shape.model_fields["type"].annotation)
    line = row(f'`{{"type": "{kind}"')
    assert all(f'"{name}"' in line for name in shape.model_fields)


@pytest.mark.parametrize("shape", OUTGOING)
def test_each_message_of_the_gateway_has_a_row(shape: type[BaseModel]) -> None:
    """What the gateway sends stands in the table, with its fields."""
    line = row(f"`{shape.model_fields['type'].default}` |")
    fields = {field.serialization_alias or name for name, field in shape.model_fields.items()} - {"type"}
    assert all(f"`{name}`" in line for name in fields)


@pytest.mark.parametrize("error", errors.ChatError.__subclasses__())
def test_each_error_has_a_row(error: type[errors.ChatError]) -> None:
    """What a client can be told stands in the table of errors."""
    assert row(f"`{error.code}`")


def test_each_option_has_a_row() -> None:
    """Each option stands in the table with its default, and says itself what it means."""
    for name, field in ChatOptions.model_fields.items():
        default = getattr(field.default, "pattern", field.default)
        assert str(default) in row(f"`{name}`")
        assert field.description


def test_close_code_is_told() -> None:
    """The handler's own close code stands beside its reason."""
    assert str(handler.NO_SUCH_ROOM) in row("`bad_room`")
