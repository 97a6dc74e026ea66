"""What a client may send to the handler `chat`: JSON objects as text, with a `type`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import pydantic

from gateway_chat.errors import MessageError
from gateway_chat.names import Name

__all__ = ["Incoming", "Say", "SetName", "Whisper", "Who", "parse"]

Text = Annotated[str, pydantic.Field(min_length=1)]
Addressee = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class SetName(pydantic.BaseModel):
    """A member takes another name."""

    type: Literal["name"]
    name: Name


class Say(pydantic.BaseModel):
    """A member says something to the room; the handler bounds the text's length."""

    type: Literal["say"]
    text: Text


class Whisper(pydantic.BaseModel):
    """A member says something to one person.

    Args:
        to: The id or the name of a member.
        text: Not empty; the handler bounds its length.
    """

    type: Literal["whisper"]
    to: Addressee
    text: Text


class Who(pydantic.BaseModel):
    """A member asks who is here."""

    type: Literal["who"]


Incoming = SetName | Say | Whisper | Who

_INCOMING: Final = pydantic.TypeAdapter[Incoming](Annotated[Incoming, pydantic.Field(discriminator="type")])

_PROBLEMS: Final = {
    "json_invalid": "not JSON",
    "dict_type": "not an object",
    "model_attributes_type": "not an object",
    "union_tag_not_found": "no type, expected name, say, whisper or who",
    "union_tag_invalid": "unknown type, expected name, say, whisper or who",
    "missing": "missing",
    "string_type": "not a text",
    "string_too_short": "empty",
    "string_too_long": "too long, limit {max_length} characters",
}


def parse(message: str | bytes) -> Incoming:
    """Read a client's message. Fields beyond the known ones are ignored.

    Raises:
        MessageError: If it is binary, not JSON, of an unknown type, or a field is missing or wrong.
    """
    if not isinstance(message, str):
        raise MessageError("a binary message, expected JSON as text")
    try:
        return _INCOMING.validate_json(message)
    except pydantic.ValidationError as exc:
        raise MessageError(_describe(exc)) from None


def _describe(invalid: pydantic.ValidationError) -> str:
    first: Any = invalid.errors(include_url=False, include_input=False)[0]
    problem = _PROBLEMS.get(first["type"], first["msg"]).format(**first.get("ctx", {}))
    return f"{first['loc'][-1]}: {problem}" if first["loc"] else problem
