"""The shapes of all messages between a client and the handler `live`: JSON objects with a `type`."""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypedDict, TypeVar

import pydantic

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "EVERYONE",
    "ConsumerId",
    "Hello",
    "MessageError",
    "Push",
    "Sample",
    "error",
    "figures",
    "hello",
    "parse",
    "push",
    "pushed",
    "read",
    "snapshot",
    "write",
]

Shape = TypeVar("Shape")

EVERYONE: Final = "everyone"
"""The addressee of a push to all; no consumer may call itself so."""

ConsumerId = Annotated[str, pydantic.Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class Sample(TypedDict):
    """The figures of one moment."""

    number: int
    """Counts this process's samples, from 1."""
    time: float
    """When it was taken, in seconds since 1970."""
    cpu_percent: float
    """Use of all the machine's processors since the sample before, 0 to 100."""
    memory_percent: float
    memory_bytes: int
    """The machine's memory in use."""
    connections: int
    """Connections open on this node."""
    messages_in_per_second: float
    messages_out_per_second: float


FIELDS: Final = tuple(Sample.__annotations__)
"""The names of a sample's figures, in the order in which a snapshot's rows give them."""


ROW: Final = operator.itemgetter(*FIELDS)


class Hello(pydantic.BaseModel):
    """A client names the consumer that it is from now on.

    Args:
        consumer: 1 to 64 letters, digits, dots, dashes and underscores.
        at: A number that the answer gives back, so that the client can time the round trip; `None`: nothing.
    """

    type: Literal["hello"]
    consumer: ConsumerId
    at: Annotated[float, pydantic.Field(allow_inf_nan=False)] | None = None


class Push(pydantic.BaseModel):
    """A client pushes a text to everyone, or to one consumer.

    Args:
        to: `everyone`, or a consumer id.
        text: Not empty; the handler bounds its length.
    """

    type: Literal["push"]
    to: ConsumerId
    text: Annotated[str, pydantic.Field(min_length=1)]


INCOMING: Final = pydantic.TypeAdapter[Hello | Push](
    Annotated[Hello | Push, pydantic.Field(discriminator="type")], config=pydantic.ConfigDict(strict=True)
)


class MessageError(ValueError):
    """A message that is none of those a client may send; its text says why, without a word of the input."""


def parse(message: str | bytes) -> Hello | Push:
    """Read a client's message. Fields beyond the known ones are ignored.

    Raises:
        MessageError: If it is binary, not JSON, of an unknown type, or a field is missing or wrong.
    """
    return read(message, INCOMING, "hello or push")


def read(message: str | bytes, shape: pydantic.TypeAdapter[Shape], expected: str) -> Shape:
    """Read a client's message of some shape.

    Args:
        message: The message.
        shape: What it should be.
        expected: Names the types that there are.

    Raises:
        MessageError: As `parse`.
    """
    if not isinstance(message, str):
        raise MessageError("a binary message, expected JSON as text")
    try:
        return shape.validate_json(message)
    except pydantic.ValidationError as exc:
        raise MessageError(_describe(exc, expected)) from None


def _describe(invalid: pydantic.ValidationError, expected: str) -> str:
    first = invalid.errors(include_url=False, include_context=False, include_input=False)[0]
    kind, place = first["type"], first["loc"]
    if kind == "json_invalid":
        return "not JSON"
    if (
        kind in {"union_tag_invalid", "union_tag_not_found", "model_attributes_type"}
        or not place
        or place[-1] == "type"
    ):
        return f"unknown type, expected {expected}"
    problem = "missing" if kind == "missing" else "not valid"
    return f"{place[-1]}: {problem}"


def figures(sample: Sample) -> str:
    """Write a sample: pushed to every connection, and the answer to every poll."""
    return write({"type": "figures", **sample})


def snapshot(connection: str, *, interval_seconds: float, allow_push: bool, samples: Iterable[Sample]) -> str:
    """Write the first message of a connection: its id, what it may do, and the recent samples, oldest first.

    The samples come as rows under one list of field names: sixty of them take 4 KB so, and 12 KB as objects,
    which counts when a gateway restarts and all its clients come back at once.
    """
    return write(
        {
            "type": "snapshot",
            "connection": connection,
            "interval_seconds": interval_seconds,
            "allow_push": allow_push,
            "fields": FIELDS,
            "rows": [ROW(sample) for sample in samples],
        }
    )


def hello(consumer: str, *, connection: str, at: float | None, now: float) -> str:
    """Write the answer to a hello: whom the connection now is, and the gateway's time (s since 1970)."""
    return write({"type": "hello", "consumer": consumer, "connection": connection, "at": at, "now": now})


def push(sender: str | None, to: str, text: str) -> str:
    """Write a pushed text for its receivers; the sender is a consumer id, or `None` if it named none."""
    return write({"type": "push", "from": sender, "to": to, "text": text})


def pushed(to: str, receivers: int) -> str:
    """Write what became of a push: how many connections of this node got it."""
    return write({"type": "pushed", "to": to, "receivers": receivers})


def error(text: str) -> str:
    """Write what was wrong with a client's message."""
    return write({"type": "error", "error": text})


def write(value: object) -> str:
    """Write a message, as JSON without needless spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
