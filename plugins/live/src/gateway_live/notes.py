"""The handler `notes`: what a page sends is published to the group, and kept in its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple

import pydantic

from gateway import HANDLED, BrokerUnavailableError, Handler
from gateway_live import messages
from gateway_live.messages import ConsumerId, MessageError
from gateway_live.options import NotesOptions

if TYPE_CHECKING:
    from gateway import Connection, Position

__all__ = ["Note", "NotesHandler", "read_note"]

LONGEST_SHOWN: Final = 2000
"""Characters of a note that a page shows: the HTTP API may publish longer ones to the group."""


class Note(pydantic.BaseModel):
    """A note, as a page sends it and as it is published.

    Args:
        text: Not blank; the handler bounds its length.
        sender: A consumer id, `from` in the message; it proves nothing. `None` if there is none.
        at: When it was published, in seconds since 1970, by the handler; `None` if that is not known.
    """

    model_config = pydantic.ConfigDict(strict=True)

    type: Literal["note"]
    text: Annotated[str, pydantic.Field(pattern=r"\S")]
    sender: Annotated[ConsumerId | None, pydantic.Field(alias="from")] = None
    at: Annotated[float | None, pydantic.Field(ge=0, le=32503680000, allow_inf_nan=False)] = None


SHAPE: Final = pydantic.TypeAdapter(Note)


class Shown(NamedTuple):
    """What a page shows of a publication; what is no note of the handler's has neither sender nor time."""

    text: str
    sender: str | None = None
    at: float | None = None


def read_note(message: str | bytes) -> Shown:
    """Read what is in the history of the group, whoever published it."""
    if not isinstance(message, str):
        return Shown(f"(binary, {len(message)} bytes)")
    try:
        note = SHAPE.validate_json(message)
    except pydantic.ValidationError:
        return Shown(_shorten(message))
    return Shown(_shorten(note.text), note.sender, note.at)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


class NotesHandler(Handler[NotesOptions]):
    """The handler of the page of notes."""

    def on_open(self, connection: Connection) -> None:
        """Mark the end of what the connection missed: after this everything is live."""
        connection.send(messages.write({"type": "open", "connection": connection.id}))

    async def on_message(self, connection: Connection, message: str | bytes) -> object:
        """Publish a note, and tell its place in the history; answer anything else with an error."""
        try:
            position = await self._publish(connection, messages.read(message, SHAPE, "note"))
        except MessageError as exc:
            connection.send(messages.error(str(exc)))
        except BrokerUnavailableError:
            connection.send(messages.error("the broker does not answer: the note may not be published"))
        else:
            offset = None if position is None else position.offset
            connection.send(messages.write({"type": "noted", "offset": offset}))
        return HANDLED

    async def _publish(self, connection: Connection, note: Note) -> Position | None:
        size = len(note.text.encode())
        if size > self.options.max_text_bytes:
            raise MessageError(f"text too long: {size} bytes, limit {self.options.max_text_bytes}")
        at = round(connection.node.now(), 3)
        published = messages.write({"type": "note", "from": note.sender, "text": note.text, "at": at})
        return (await connection.node.publish_confirmed(self.options.group, published)).position
