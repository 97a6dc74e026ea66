"""The form of a note from another node: judged before anything is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from gateway.broker.contract import Note

__all__ = ["NodeName", "NoteForm"]

NodeName = Annotated[str, Field(min_length=1, max_length=200)]
"""A node's name in a note, or another that its sender chooses."""


class NoteForm(BaseModel):
    """What one kind of note says; a kind with fields of its own says which."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def read(cls, note: Note, what: str) -> Self:
        """Take a note.

        Args:
            note: The note.
            what: What it should be, for the error: `a question`.

        Raises:
            ValueError: If it is no such note; nothing of it is in the text.
        """
        try:
            return cls.model_validate(dict(note))
        except (TypeError, ValueError):
            raise ValueError(f"not {what}") from None
