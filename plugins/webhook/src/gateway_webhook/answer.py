"""What the service may answer: JSON with a list of actions, judged as a whole before any of them is done."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError, from_json

from gateway import BrokerUnavailableError, Connection, MessageTooBigError
from gateway_webhook.errors import AnswerError, PublishError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Action", "Close", "Join", "Leave", "Publish", "Send", "perform", "read_answer"]

MAX_ACTIONS: Final = 1000
_NORMAL: Final = 1000
_CONTENTS: Final = ("text", "json", "binary")


def _encode(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise PydanticCustomError("number", "a number that JSON has no form for") from None


def _decode(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise PydanticCustomError("not_base64", "not base64") from None


def _check_code(code: int) -> int:
    if code != _NORMAL and not 3000 <= code <= 4999:  # noqa: PLR2004 - RFC 6455 section 7.4.2
        raise PydanticCustomError("close_code", "a close code is 1000, or one of 3000 to 4999")
    return code


# `$` begins the names of the gateway's own groups.
Group = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^$\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")]
User = Annotated[str, Field(min_length=1, max_length=512)]


class _Action(pydantic.BaseModel):
    """Base of the actions. A misspelt key must not be taken for none, so that unknown ones are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class _Content(_Action):
    """Base of the actions with a message: just one of `text`, `json` and `binary`."""

    text: str = ""
    json_text: Annotated[Any, AfterValidator(_encode)] = Field(default=None, alias="json")
    binary: Annotated[bytes, BeforeValidator(_decode)] = b""

    @property
    def message(self) -> str | bytes:
        """The message: text, or binary."""
        if "binary" in self.model_fields_set:
            return self.binary
        return self.text if "text" in self.model_fields_set else self.json_text

    @pydantic.model_validator(mode="after")
    def _one_content(self) -> Self:
        if len(self.model_fields_set & {"text", "json_text", "binary"}) != 1:
            raise PydanticCustomError("content", "just one of {names}", {"names": ", ".join(_CONTENTS)})
        return self


class Send(_Content):
    """Send a message to the connection."""

    type: Literal["send"]

    def perform(self, connection: Connection) -> None:
        """Do it."""
        connection.send(self.message)


class Publish(_Content):
    """Publish a message to one of: a group, a user's connections, everyone.

    Args:
        include_sender: Whether the connection gets it too, if it is among them.
        key: What the message is the newest state of, for the overflow policy `conflate`; for groups only.
    """

    type: Literal["publish"]
    group: Group | None = None
    user: User | None = None
    everyone: Literal[True] | None = None
    include_sender: bool = True
    key: str | None = None

    @pydantic.model_validator(mode="after")
    def _one_receiver(self) -> Self:
        if sum(one is not None for one in (self.group, self.user, self.everyone)) != 1:
            raise PydanticCustomError("receiver", "just one of group, user, everyone")
        if self.key is not None and self.group is None:
            raise PydanticCustomError("receiver", "a key is for a group")
        return self

    def perform(self, connection: Connection) -> None:
        """Do it."""
        if self.group is not None:
            connection.publish(self.group, self.message, include_sender=self.include_sender, key=self.key)
        elif self.user is not None:
            connection.publish_to_user(self.user, self.message, include_sender=self.include_sender)
        else:
            connection.publish_to_everyone(self.message, include_sender=self.include_sender)


class Join(_Action):
    """Have the connection join a group."""

    type: Literal["join"]
    group: Group

    def perform(self, connection: Connection) -> None:
        """Do it."""
        connection.join(self.group)


class Leave(_Action):
    """Have the connection leave a group."""

    type: Literal["leave"]
    group: Group

    def perform(self, connection: Connection) -> None:
        """Do it."""
        connection.leave(self.group)


class Close(_Action):
    """Close the connection.

    Args:
        code: 1000, or one of 3000 to 4999.
        reason: Cut at 123 bytes of UTF-8.
    """

    type: Literal["close"]
    code: Annotated[int, AfterValidator(_check_code)] = _NORMAL
    reason: str = ""

    def perform(self, connection: Connection) -> None:
        """Do it."""
        connection.close(self.code, self.reason)


Action = Send | Publish | Join | Leave | Close


class _Answer(pydantic.BaseModel):
    """The body."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    actions: list[Annotated[Action, Field(discriminator="type")]] = Field(
        default_factory=list, max_length=MAX_ACTIONS
    )


def read_answer(body: bytes) -> list[Action]:
    """Read an answer; an empty one asks for nothing.

    Raises:
        AnswerError: If it is not one. Its text has nothing of the answer but known names.
    """
    if not body.strip():
        return []
    try:
        return _Answer.model_validate(from_json(body, allow_inf_nan=False)).actions
    except pydantic.ValidationError as exc:
        raise AnswerError(_describe(exc)) from None
    except ValueError:
        raise AnswerError("not JSON") from None


def perform(actions: Sequence[Action], connection: Connection) -> None:
    """Do what an answer asks for, in its order.

    Raises:
        AnswerError: If a message is too big for the way between nodes.
        PublishError: If the broker takes no publications.
    """
    try:
        for action in actions:
            action.perform(connection)
    except MessageTooBigError:
        raise AnswerError("a message too big for the way between nodes") from None
    except BrokerUnavailableError:
        raise PublishError from None


def _describe(invalid: pydantic.ValidationError) -> str:
    first = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        place = [*place[:-1], "a key"]  # its name is the service's own
    return ": ".join([".".join(place), first["type"]] if place else [first["type"]])
