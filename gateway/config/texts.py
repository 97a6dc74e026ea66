"""The wording of pydantic's errors: lower case, the fact first, then the value, then the limit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models.base import FINDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

_WHOLE_NUMBER = ("not a whole number", "")
_NUMBER = ("not a number", "")
_FLAG = ("not true or false", "")
_TEXT = ("not a text", "")
_LIST = ("not a list", "")
_MAPPING = ("not a mapping", "")
_WORD = ("not {expected}", "")

_TABLE: Final[Mapping[str, tuple[str, str]]] = {
    "missing": ("missing", ""),
    "extra_forbidden": ("unknown key", ""),
    "int_type": _WHOLE_NUMBER,
    "int_parsing": _WHOLE_NUMBER,
    "int_parsing_size": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": ("not a finite number", ""),
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "string_type": _TEXT,
    "path_type": _TEXT,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _MAPPING,
    "mapping_type": _MAPPING,
    "model_type": _MAPPING,
    "model_attributes_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "literal_error": _WORD,
    "enum": _WORD,
    "greater_than": ("too small", ", must be above {gt}"),
    "greater_than_equal": ("too small", ", at least {ge}"),
    "less_than": ("too large", ", must be below {lt}"),
    "less_than_equal": ("too large", ", at most {le}"),
    "multiple_of": ("not a multiple of {multiple_of}", ""),
    "string_too_short": ("too short", ", at least {min_length} characters"),
    "string_too_long": ("too long", ", at most {max_length} characters"),
    "string_pattern_mismatch": ("not of the form {pattern}", ""),
    "too_short": ("too few entries: {actual_length}", ", at least {min_length}"),
    "too_long": ("too many entries: {actual_length}", ", at most {max_length}"),
}

_VALUELESS = frozenset({"missing", "extra_forbidden", "too_short", "too_long"})
_SHORTEST_TELLTALE = 3


def describe(error: ErrorDetails, shown: str | None, hidden: Iterable[str]) -> str:
    """Word an error of pydantic's.

    Args:
        error: The error, with its input and context.
        shown: What to say for the value; None to say nothing of it.
        hidden: Texts that must not appear: where a plugin's own wording gives one away, it is replaced.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == FINDING:
        fact, more = str(context["fact"]), str(context["more"])
        return fact + more if context["value"] is None else _assemble(fact, shown, more)
    if kind in _TABLE:
        fact, more = _TABLE[kind]
        limits = _Limits({name: _plain(limit) for name, limit in context.items()})
        value = None if kind in _VALUELESS else shown
        if kind == "string_type" and isinstance(error["input"], (int, float)):
            more = ", put it in quotes"
        if kind == "literal_error" and f"'{error['input']}'" in str(context.get("expected")):
            more = ", put it in quotes"
        if fact in {_WHOLE_NUMBER[0], _NUMBER[0]} and _reads_as_number(error["input"]):
            more = ", leave out its quotes"
        return _assemble(fact.format_map(limits), value, more.format_map(limits))
    cause = context.get("error")
    text = _lowered(" ".join(str(error["msg"] if cause is None else cause).split()))
    if not text or any(_gives_away(text, value) for value in hidden):
        return _assemble("refused by its own check", shown, "")
    return text


def _reads_as_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None


class _Limits(dict[str, str]):
    """The context of an error; a plugin may raise a known type of error without its usual context."""

    def __missing__(self, key: str) -> str:
        return "?"


def _assemble(fact: str, shown: str | None, more: str) -> str:
    return (fact if shown is None else f"{fact}: {shown}") + more


def _plain(limit: Any) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)


def _lowered(text: str) -> str:
    text = text.removesuffix(".")
    # "URL is bad" keeps its capitals, "Value is bad" does not.
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _gives_away(text: str, value: str) -> bool:
    """Tell whether a text repeats a value, or a word of it."""
    lowered, sought = text.lower(), value.lower()
    if len(sought) >= _SHORTEST_TELLTALE and sought in lowered:
        return True
    # A shorter word counts where it stands by itself: "a" is in every text.
    words, said = set(re.findall(r"\w+", sought)), set(re.findall(r"\w+", lowered))
    return any(word in said or (len(word) >= _SHORTEST_TELLTALE and word in lowered) for word in words)
