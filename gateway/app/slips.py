"""Texts that are good as they are, and were probably meant otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.config import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Draft, Path, Problem

__all__ = ["find_slips"]

# As a shell and Kubernetes write them.
_VARIABLE: Final = re.compile(r"\$[A-Z_][A-Z0-9_]*|\$\([A-Z_][A-Z0-9_]*\)")


def find_slips(draft: Draft) -> Iterator[Problem]:
    """Find variables and parameters that are written as elsewhere; each is a warning.

    What such a text says is not repeated, as it may be a secret after all.
    """
    for path, text in _texts(draft.data, ()):
        if path not in draft.marks.variables and _VARIABLE.fullmatch(text):
            fact = "text is taken as it is, and looks like a variable"
            advice = "a variable is written ${NAME}"
            yield draft.problem(path, fact, severity=Severity.WARNING, advice=advice)
        elif path[0] == "routes" and path[2:] == ("path",):
            for segment in text.split("/"):
                if segment.startswith(":") or "*" in segment:
                    shown = draft.show(path, segment)
                    fact = f"segment is taken as it is, and looks like a parameter: {shown}"
                    advice = "a parameter is written {name}, and is one whole segment"
                    yield draft.problem(path, fact, severity=Severity.WARNING, advice=advice)


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(one, (*path, index))
    elif isinstance(value, str):
        yield path, value
