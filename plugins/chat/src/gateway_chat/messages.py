"""The shapes of all messages between a client and the handler `chat`: JSON objects with a `type`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import pydantic

from gateway_chat.errors import MessageError
from gateway_chat.names import Name

__all__ = [
    "Failed",
    "Joined",
    "Left",
    "Member",
    "Message",
    "Renamed",
    "Request",
    "Say",
    "SetName",
    "Welcome",
    "Whisper",
    "Whispered",
    "Who",
    "WhoIsHere",
    "parse",
]

Text = Annotated[str, pydantic.Field(min_length=1)]
Addressee = Annotated[str, pydantic.StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


# From a client.


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


Request = SetName | Say | Whisper | Who

_REQUEST: Final = pydantic.TypeAdapter[Request](
    Annotated[Request, pydantic.Field(discriminator="type")], config=pydantic.ConfigDict(strict=True)
)

_PROBLEMS: Final = {
    "missing": "missing",
    "string_type": "not a text",
    "string_too_short": "empty",
    "string_too_long": "too long, limit {max_length} characters",
    "not_printable": "holds a character that cannot be seen",
}


def parse(message: str | bytes) -> Request:
    """Read a client's message. Fields beyond the known ones are ignored.

    Raises:
        MessageError: If it is binary, not JSON, of an unknown type, or a field is missing or wrong.
    """
    if not isinstance(message, str):
        raise MessageError("a binary message, expected JSON as text")
    try:
        return _REQUEST.validate_json(message)
    except pydantic.ValidationError as exc:
        raise MessageError(_describe(exc)) from None


def _describe(invalid: pydantic.ValidationError) -> str:
    first: Any = invalid.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return "not JSON"
    if not first["loc"]:
        return "unknown type, expected name, say, whisper or who"
    problem = _PROBLEMS.get(first["type"], "not valid")
    return f"{first['loc'][-1]}: {problem.format(**first.get('ctx', {}))}"


# From the gateway.


class Member(pydantic.BaseModel):
    """Somebody who is in a room, as the others see them.

    Args:
        id: That of the connection: unique over all nodes, and the same as long as it lives.
        name: Unique in the room on its node, and theirs to change.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    id: str
    name: str


class _Outgoing(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    def to_json(self) -> str:
        """Write the message for the wire."""
        return self.model_dump_json()


class Welcome(_Outgoing):
    """Tells a newcomer who they are, and who is here; they are among the members."""

    type: Literal["welcome"] = "welcome"
    id: str
    name: str
    room: str
    members: list[Member]


class WhoIsHere(_Outgoing):
    """Answers who is here."""

    type: Literal["who"] = "who"
    room: str
    members: list[Member]


class Joined(_Outgoing):
    """Tells the others that somebody came."""

    type: Literal["joined"] = "joined"
    member: Member


class Left(_Outgoing):
    """Tells the others that somebody went, or was lost."""

    type: Literal["left"] = "left"
    member: Member


class Renamed(_Outgoing):
    """Tells the room that a member has another name.

    Args:
        member: With the new name.
        former: The name until now.
    """

    type: Literal["renamed"] = "renamed"
    member: Member
    former: str


class Message(_Outgoing):
    """Something said to the room.

    Args:
        sender: Who said it; `from` on the wire.
        at: When, in seconds since 1970.
    """

    type: Literal["message"] = "message"
    sender: Annotated[Member, pydantic.Field(serialization_alias="from")]
    text: str
    at: float


class Whispered(_Outgoing):
    """Something said to one member; the sender gets it as well, and knows by that that it went.

    Args:
        sender: Who said it; `from` on the wire.
        to: To whom.
        at: When, in seconds since 1970.
    """

    type: Literal["whisper"] = "whisper"
    sender: Annotated[Member, pydantic.Field(serialization_alias="from")]
    to: Member
    text: str
    at: float


class Failed(_Outgoing):
    """Tells a client that its message had no effect.

    Args:
        error: A short name for programs.
        message: What is wrong, for people.
    """

    type: Literal["error"] = "error"
    error: str
    message: str
