"""What the handler `chat` sends: JSON objects as text, with a `type`."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

__all__ = [
    "Failed",
    "Joined",
    "Left",
    "Member",
    "Outgoing",
    "Renamed",
    "Said",
    "Welcome",
    "Whispered",
    "WhoIsHere",
]


class Member(pydantic.BaseModel):
    """Somebody who is in a room, as the others see them.

    Args:
        id: `user:` and the user, whatever connections they are here by, or the id of a guest's connection.
        name: Unique in the room, and theirs to change.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    id: str
    name: str


class Outgoing(pydantic.BaseModel):
    """Base of all that the handler sends."""

    model_config = pydantic.ConfigDict(serialize_by_alias=True)

    def to_json(self) -> str:
        """Write the message for the wire."""
        return self.model_dump_json()


class Welcome(Outgoing):
    """Tells a newcomer who they are, and who is here; they are among the members."""

    type: Literal["welcome"] = "welcome"
    id: str
    name: str
    room: str
    members: list[Member]


class WhoIsHere(Outgoing):
    """Answers who is here."""

    type: Literal["who"] = "who"
    room: str
    members: list[Member]


class Joined(Outgoing):
    """Tells the others that somebody came."""

    type: Literal["joined"] = "joined"
    member: Member


class Left(Outgoing):
    """Tells the others that somebody went, or was lost."""

    type: Literal["left"] = "left"
    member: Member


class Renamed(Outgoing):
    """Tells the room that a member has another name.

    Args:
        member: With the new name.
        former: The name until now.
    """

    type: Literal["renamed"] = "renamed"
    member: Member
    former: str


class Said(Outgoing):
    """Something said to the room.

    Args:
        sender: Who said it; `from` on the wire.
        at: When, in seconds since 1970.
    """

    type: Literal["message"] = "message"
    sender: Annotated[Member, pydantic.Field(serialization_alias="from")]
    text: str
    at: float


class Whispered(Outgoing):
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


class Failed(Outgoing):
    """Tells a client that its message had no effect.

    Args:
        error: A short name for programs.
        message: What is wrong, for people.
    """

    type: Literal["error"] = "error"
    error: str
    message: str
