"""The rules that hold between values: what single fields cannot judge.

Each takes what could be read and None for what could not, so that a file with other errors is still judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.models.base import Finding
from gateway.config.models.forms import USER, parameters_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def route_findings(path: str | None, groups: Sequence[str | None]) -> list[Finding]:
    """Find group templates of a route that name something other than its path's parameters or `{user}`.

    Args:
        path: The route's path; None where it cannot be judged, and then nothing is found.
        groups: The group templates; None in place of those that are wrong in themselves.
    """
    if path is None:
        return []
    known = {*parameters_of(path), USER}
    return [
        Finding(("groups", index), "group template names no parameter of the path", f"{{{name}}}")
        for index, template in enumerate(groups)
        if template is not None
        for name in parameters_of(template)
        if name not in known
    ]


def subprotocol_findings(*, required: bool, offered: int) -> list[Finding]:
    """Find `require_subprotocol` without any subprotocol that a client could choose.

    Args:
        required: The value of `require_subprotocol`.
        offered: The number of the route's subprotocols.
    """
    if required and not offered:
        return [Finding(("require_subprotocol",), "a subprotocol is required, and subprotocols names none")]
    return []


def routes_findings(routes: Sequence[tuple[str | None, str | None]]) -> list[Finding]:
    """Find routes that take another's path or name.

    Args:
        routes: Path and name of each route, None for what cannot be judged. An omitted name is the path.
    """
    paths = [path for path, _ in routes]
    shapes = [None if path is None else shape_of(path) for path in paths]
    findings = [
        Finding(("routes", index, "path"), "path taken by another route", paths[index], more)
        for index, more in _repeats(shapes, lambda first: f", first used by routes[{first}]")
    ]
    taken = {finding.path[1] for finding in findings}
    names = [name for _, name in routes]
    findings += [
        Finding(("routes", index, "name"), "route name taken", names[index], more)
        for index, more in _repeats(names, lambda first: f", first used by routes[{first}]")
        # Two unnamed routes of one path are one mistake, not two.
        if not (index in taken and names[index] == paths[index])
    ]
    return findings


def repeat_findings(
    section: tuple[str | int, ...],
    key: str,
    values: Sequence[str | None],
    fact: str,
    *,
    secret: bool = False,
) -> list[Finding]:
    """Find entries of a list whose value under one key was used by an earlier entry.

    Args:
        section: Where the list stands.
        key: The key that must differ from entry to entry.
        values: The value of each entry, None for those that cannot be judged.
        fact: What to say of a repeated value.
        secret: Whether the value stays out of the finding. Default: it is shown.
    """
    return [
        Finding((*section, index, key), fact, None if secret else values[index], more)
        for index, more in _repeats(values, lambda first: f", first used by entry {first}")
    ]


def _repeats(values: Sequence[str | None], describe: Callable[[int], str]) -> list[tuple[int, str]]:
    first: dict[str, int] = {}
    repeats: list[tuple[int, str]] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if value in first:
            repeats.append((index, describe(first[value])))
        else:
            first[value] = index
    return repeats
