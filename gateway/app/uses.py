"""The uses of plugins' names in a configuration that was read, whether it is good or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.config.models.broker import BUILT_IN_BROKERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Draft, Path

__all__ = [
    "Use",
    "broker_use",
    "handler_uses",
    "history_uses",
    "path_of",
    "plugin_uses",
    "way_settings",
    "way_uses",
]


@dataclass(frozen=True, slots=True)
class Use:
    """A place where something that a plugin gives is named.

    Args:
        place: Of the name itself.
        name: The name.
        options_place: Of its options.
        options: As they were read.
    """

    place: Path
    name: str
    options_place: Path
    options: Any


def plugin_uses(draft: Draft) -> Iterator[tuple[Use, bool]]:
    """Give the plugins that have settings, and whether they are enabled."""
    for name, settings in _mapping(_under(draft.data, "plugins")).items():
        place: Path = ("plugins", name)
        options = _options(_under(settings, "options"))
        yield Use(place, name, (*place, "options"), options), _under(settings, "enabled") is not False


def handler_uses(draft: Draft) -> Iterator[tuple[int, Use]]:
    """Give the handlers that routes name, with the index of the route; what is wrong is left out."""
    for index, route in enumerate(_list(_under(draft.data, "routes"))):
        for position, entry in enumerate(_list(_under(route, "handlers"))):
            place: Path = ("routes", index, "handlers", position)
            name = entry if isinstance(entry, str) else _under(entry, "name")
            named_at = place if isinstance(entry, str) else (*place, "name")
            if isinstance(name, str) and not draft.bad.intersection((place, named_at)):
                options = _options(_under(entry, "options"))
                yield index, Use(named_at, name, (*place, "options"), options)


def path_of(draft: Draft, index: int) -> str | None:
    """Give the path of a route; `None` if it could not be read or is known to be wrong."""
    path = _under(_list(_under(draft.data, "routes"))[index], "path")
    return path if isinstance(path, str) and ("routes", index, "path") not in draft.bad else None


def way_settings(draft: Draft) -> Mapping[str, Any]:
    """Give what stands under `authentication`, by the name of the way."""
    return _mapping(_under(draft.data, "authentication"))


def way_uses(draft: Draft) -> Iterator[Use]:
    """Give the ways that have settings, and those that routes, the giving of tickets and the API name."""
    settings = way_settings(draft)
    for name in settings:
        yield Use(("authentication", name), name, ("authentication", name), _options(settings[name]))
    for index, route in enumerate(_list(_under(draft.data, "routes"))):
        for position, name in enumerate(_list(_under(route, "authenticate"))):
            place: Path = ("routes", index, "authenticate", position)
            if isinstance(name, str) and place not in draft.bad:
                yield Use(place, name, ("authentication", name), _options(settings.get(name)))
    for around in (("authentication", "ticket", "authenticate"), ("api", "authenticate")):
        for place, name in _named_at(draft, around):
            yield Use(place, name, ("authentication", name), _options(settings.get(name)))


def history_uses(draft: Draft) -> Iterator[Path]:
    """Give the places where groups are to keep history."""
    for index, entry in enumerate(_list(_under(draft.data, "groups"))):
        if _under(entry, "history") is not None:
            yield ("groups", index, "history")


def broker_use(draft: Draft) -> Use | None:
    """Give the broker that is named, if it is a plugin's; what is wrong is left out."""
    settings = _under(draft.data, "broker")
    name = _under(settings, "type")
    if not isinstance(name, str) or not name or name in BUILT_IN_BROKERS:
        return None
    options = {key: value for key, value in _mapping(settings).items() if key != "type"}
    return Use(("broker", "type"), name, ("broker",), options)


def _named_at(draft: Draft, around: Path) -> Iterator[tuple[Path, str]]:
    """Give the ways in a list outside the routes, each with its place."""
    found: Any = draft.data
    for key in around:
        found = _under(found, str(key))
    for position, name in enumerate(_list(found)):
        place: Path = (*around, position)
        if isinstance(name, str) and not draft.bad.intersection((around, place)):
            yield place, name


def _under(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, Mapping) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _options(value: Any) -> Any:
    """Give options that were left empty as none."""
    return {} if value is None else value
