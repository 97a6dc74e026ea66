"""What can be wrong with a client's wish. Their texts repeat nothing that the client sent."""

from __future__ import annotations

from typing import ClassVar

from gateway import GatewayError

__all__ = [
    "ChatError",
    "MessageError",
    "NameTakenError",
    "NobodyHereError",
    "RoomNameError",
    "TextTooLongError",
]


class ChatError(GatewayError):
    """Root of the errors that a client is told about."""

    code: ClassVar[str]
    """A short name for programs; the error's text is for people."""


class MessageError(ChatError):
    """A message that is none of those a client may send.

    Args:
        problem: What is wrong with it.
    """

    code = "bad_message"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class TextTooLongError(ChatError):
    """A text over the limit.

    Args:
        characters: How long it is.
        limit: How long it may be, in characters.
    """

    code = "text_too_long"

    def __init__(self, characters: int, limit: int) -> None:
        self.characters = characters
        self.limit = limit
        super().__init__(f"text too long: {characters} characters, limit {limit}")


class NameTakenError(ChatError):
    """A name that another member of the room has."""

    code = "name_taken"

    def __init__(self) -> None:
        super().__init__("another member of the room has this name")


class NobodyHereError(ChatError):
    """A whisper to somebody who is not in the room."""

    code = "nobody_here"

    def __init__(self) -> None:
        super().__init__("nobody in the room has this id or name")


class RoomNameError(ChatError):
    """A room name that the route does not allow."""

    code = "bad_room"

    def __init__(self) -> None:
        super().__init__("this route has no room of this name")
