"""Names of members: what one may look like, when two are the same, and which one a newcomer gets."""

from __future__ import annotations

import secrets
import unicodedata
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_NAME_CHARACTERS", "Name", "same_name", "suggest_names"]

MAX_NAME_CHARACTERS: Final = 40

_SUFFIX_BYTES: Final = 3
_STEM_CHARACTERS: Final = MAX_NAME_CHARACTERS - 1 - 2 * _SUFFIX_BYTES


def _check_printable(name: str) -> str:
    # Control characters are not printable, and neither are those without a shape, such as a zero-width
    # space or a change of direction, by which one name could be made to look like another.
    if not name.isprintable():
        raise PydanticCustomError("not_printable", "holds a character that cannot be seen")
    return name


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME_CHARACTERS),
    AfterValidator(_check_printable),
]
"""The name of a member: 1 to 40 characters that can be seen, trimmed."""


def same_name(name: str) -> str:
    """Give the form that is equal for names which people take for the same, such as `Ada` and `ada`."""
    return unicodedata.normalize("NFKC", name).casefold()


def suggest_names(user: str | None) -> Iterator[str]:
    """Give names for a newcomer, the best one first, without end.

    Args:
        user: The user of the connection's identity; `None` makes guests.
    """
    stem = _make_name(user or "")
    if stem:
        yield stem
    while True:
        yield f"{(stem or 'guest')[:_STEM_CHARACTERS]}-{secrets.token_hex(_SUFFIX_BYTES)}"


def _make_name(text: str) -> str:
    """Turn any text into a name; empty if nothing of it can be seen."""
    return "".join(filter(str.isprintable, text)).strip()[:MAX_NAME_CHARACTERS].rstrip()
