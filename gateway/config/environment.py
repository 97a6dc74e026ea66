"""Values from the environment: `${NAME}` and `${NAME:-default}` in the texts of a configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A default holds no brace: with one, where it ends would depend on whether the variable is set.
_REFERENCE = re.compile(
    r"(?P<escape>\$\$\{)"
    r"|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}"
    r"|(?P<malformed>\$\{)",
)


@dataclass(frozen=True, slots=True)
class Substitution:
    """A text with its references to the environment filled in.

    Args:
        text: The result; meaningless when a variable is unset or a reference malformed.
        variables: Names of the variables whose values stand in the text. A default is no such value.
        unset: Names of the variables that are not set and have no default.
        undecodable: Names of the variables whose value is not UTF-8.
        malformed: Whether a `${` begins no reference.
        whole: Whether the text was one reference and nothing else.
    """

    text: str
    variables: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    undecodable: tuple[str, ...] = ()
    malformed: bool = False
    whole: bool = False


def substitute(text: str, environ: Mapping[str, str]) -> Substitution:
    """Fill in the references to the environment.

    `${NAME}` is the variable's value, which may be empty. `${NAME:-default}` is the default where the
    variable is unset or empty. `$${` stands for `${`. Every other `$` stands for itself. What is filled in
    is not read again.

    Args:
        text: The text of one YAML scalar.
        environ: The environment, by name.
    """
    if "${" not in text:
        return Substitution(text)
    variables: dict[str, None] = {}
    unset: dict[str, None] = {}
    undecodable: dict[str, None] = {}
    malformed = False

    def fill_in(match: re.Match[str]) -> str:
        nonlocal malformed
        if match["escape"]:
            return "${"
        if match["malformed"]:
            malformed = True
            return ""
        name, default = match["name"], match["default"]
        value = environ.get(name)
        if default is not None and not value:
            return default
        if value is None:
            unset[name] = None
            return ""
        if has_lone_surrogate(value):
            undecodable[name] = None
        variables[name] = None
        return value

    filled_in = _REFERENCE.sub(fill_in, text)
    match = _REFERENCE.fullmatch(text)
    return Substitution(
        text=filled_in,
        variables=tuple(variables),
        unset=tuple(unset),
        undecodable=tuple(undecodable),
        malformed=malformed,
        whole=match is not None and match["name"] is not None,
    )


def has_lone_surrogate(text: str) -> bool:
    """Tell whether the text holds half of a surrogate pair, and so cannot be written as UTF-8."""
    return any("\ud800" <= character <= "\udfff" for character in text)
