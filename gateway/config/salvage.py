"""The rules between values, applied to a file that has other errors: pydantic does not get as far then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.config.models.rules import repeat_findings, route_findings, routes_findings, subprotocol_findings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.models.base import Finding
    from gateway.config.problems import Path


def salvaged_findings(data: Any, bad: Iterable[Path]) -> list[Finding]:
    """Judge what can still be judged.

    Args:
        data: The plain data of the whole file.
        bad: Paths of the values that are wrong in themselves, and of those that are missing.
    """
    return _Salvage(data, frozenset(bad)).findings()


class _Salvage:
    def __init__(self, data: Any, bad: frozenset[Path]) -> None:
        self._data = data
        self._bad = bad

    def findings(self) -> list[Finding]:
        routes = range(len(self._entries(("routes",))))
        findings = routes_findings([(self._text(("routes", n, "path")), self._route_name(n)) for n in routes])
        for index in routes:
            findings += [replace(one, path=("routes", index, *one.path)) for one in self._route(index)]
        for section, key, fact, secret in (
            (("groups",), "pattern", "pattern can never match", False),
            (("api", "tokens"), "name", "token name taken", False),
            (("authentication", "token", "keys"), "name", "key name taken", False),
            (("authentication", "token", "keys"), "token", "token taken", True),
        ):
            values = [self._text((*section, n, key)) for n in range(len(self._entries(section)))]
            given = [value or None for value in values]
            findings += repeat_findings(section, key, given, fact, secret=secret)
        return findings

    def _route(self, index: int) -> list[Finding]:
        around: Path = ("routes", index)
        groups = [self._text((*around, "groups", n)) for n in range(len(self._entries((*around, "groups"))))]
        findings = route_findings(self._text((*around, "path")), groups)
        subprotocols = self._at((*around, "subprotocols"))
        if subprotocols is None or isinstance(subprotocols, list):
            required = self._at((*around, "require_subprotocol")) is True
            findings += subprotocol_findings(required=required, offered=len(subprotocols or ()))
        return findings

    def _route_name(self, index: int) -> str | None:
        around: Path = ("routes", index)
        route = self._at(around)
        key = "name" if isinstance(route, dict) and "name" in route else "path"
        return self._text((*around, key))

    def _entries(self, path: Path) -> list[Any]:
        value = self._at(path)
        return value if isinstance(value, list) else []

    def _text(self, path: Path) -> str | None:
        value = None if path in self._bad else self._at(path)
        return value if isinstance(value, str) else None

    def _at(self, path: Path) -> Any:
        value = self._data
        for piece in path:
            if isinstance(value, dict):
                value = value.get(piece)
            elif isinstance(value, list) and isinstance(piece, int):
                value = value[piece]
            else:
                return None
        return value
