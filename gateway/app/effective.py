"""The effective configuration: every value that holds, where it comes from, and which are secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from gateway.app.prepare import load_plugins
from gateway.config import render_path, validate_options
from gateway.config.models import AuthenticationConfig
from gateway.config.models.broker import PluginBrokerConfig
from gateway.config.showing import HIDDEN, sounds_secret, without_secrets, written
from gateway.plugin.handler import Options
from gateway.plugin.manager import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import Loaded, Path
    from gateway.plugin.manager import PluginManager

__all__ = ["DEFAULT", "HIDDEN", "Leaf", "Listing", "Part", "Section", "as_data", "effective", "shown"]

DEFAULT: Final = "default"
"""The origin of what nobody has set."""

# A text may stand for a handler with this name, and for a list with this one entry.
_SHORT: Final = (("name",), (0,))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A single value.

    Args:
        value: It: a text, a number, true, false or null.
        origin: `FILE:LINE`, `environment NAME`, or `default`.
        secret: Whether it is not for showing.
        mask: What is shown in place of a secret.
    """

    value: Any = field(repr=False)
    origin: str
    secret: bool = False
    mask: str = HIDDEN

    @property
    def shown(self) -> Any:
        """The value as it may be shown; an empty secret is no secret."""
        if self.secret and self.value not in {"", None}:
            return self.mask
        return without_secrets(self.value) if isinstance(self.value, str) else self.value


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of parts, and where it comes from."""

    entries: tuple[Part, ...]
    origin: str


@dataclass(frozen=True, slots=True)
class Section:
    """Parts by their keys, and where they come from."""

    parts: Mapping[str, Part]
    origin: str


Part: TypeAlias = Leaf | Listing | Section


def effective(loaded: Loaded, plugins: PluginManager | None = None) -> Section:
    """Give every value that holds for a configuration, defaults and plugins' options included.

    Args:
        loaded: The configuration.
        plugins: The plugins, for their options. The default, `None`, loads those that are not disabled.
    """
    if plugins is None:
        disabled = [name for name, plugin in loaded.config.plugins.items() if not plugin.enabled]
        plugins = load_plugins(disabled)
    return _Walk(loaded, plugins).whole()


def as_data(whole: Section) -> dict[str, Any]:
    """Give the values and their origins as plain data, secrets hidden."""
    return {"config": shown(whole), "origins": dict(_origins(whole, ()))}


def shown(part: Part) -> Any:
    """Give a part as plain data, secrets hidden."""
    if isinstance(part, Leaf):
        return part.shown
    if isinstance(part, Listing):
        return [shown(one) for one in part.entries]
    return {key: shown(one) for key, one in part.parts.items()}


def _origins(part: Part, path: Path) -> Iterator[tuple[str, str]]:
    inside: list[tuple[str | int, Part]] = []
    if isinstance(part, Section):
        inside = list(part.parts.items())
    elif isinstance(part, Listing):
        inside = list(enumerate(part.entries))
    if not inside:
        yield render_path(path), part.origin
    for key, one in inside:
        yield from _origins(one, (*path, key))


class _Walk:
    def __init__(self, loaded: Loaded, plugins: PluginManager) -> None:
        self._loaded = loaded
        self._handlers = {name: cls.options_model for name, (_, cls) in plugins.handlers().items()}
        self._ways = {name: cls.options_model for name, (_, cls) in plugins.authenticators().items()}
        self._brokers = {name: cls.options_model for name, (_, cls) in plugins.brokers().items()}
        self._plugins = {
            plugin.name: plugins.options_model(plugin) or Options
            for plugin in plugins.plugins
            if plugin.distribution != BUILT_IN
        }
        # A text that is made of another one, as a route's name of its path, is no more for showing.
        places = ((self._written(path), names) for path, names in loaded.marks.variables.items())
        self._masks = {value: written(names) for value, names in places if isinstance(value, str) and value}

    def whole(self) -> Section:
        """Walk through the configuration, and the plugins that it does not name."""
        section = self._model(self._loaded.config, ())
        named = section.parts["plugins"]
        assert isinstance(named, Section)  # noqa: S101 - as the model has it
        others = {
            name: Section(
                {
                    "enabled": Leaf(True, DEFAULT),
                    "options": self._options(model, {}, ("plugins", name, "options")),
                },
                DEFAULT,
            )
            for name, model in self._plugins.items()
            if name not in named.parts
        }
        plugins = Section({**named.parts, **others}, named.origin)
        return Section({**section.parts, "plugins": plugins}, section.origin)

    def _model(self, model: BaseModel, path: Path) -> Section:
        parts: dict[str, Part] = {}
        # What a section is comes before what is set in it.
        for name, declared in sorted(type(model).model_fields.items(), key=lambda one: one[0] != "type"):
            key = declared.alias or name
            value = getattr(model, name)
            # A word of a few that there are is no secret, wherever it comes from.
            if get_origin(declared.annotation) is Literal:
                parts[key] = Leaf(value, self._origin((*path, key)))
            else:
                parts[key] = self._part(value, (*path, key), free=False)
        if isinstance(model, AuthenticationConfig):
            for name, given in (model.__pydantic_extra__ or {}).items():
                parts[name] = self._options(self._ways.get(name), given, (*path, name))
        elif isinstance(model, PluginBrokerConfig):
            options = self._options(self._brokers.get(model.type), model.__pydantic_extra__ or {}, path)
            parts |= options.parts if isinstance(options, Section) else {}
        options_model = self._options_model(model, path)
        if options_model is not None:
            parts["options"] = self._options(options_model, getattr(model, "options", {}), (*path, "options"))
        return Section(parts, self._origin(path))

    def _options_model(self, model: BaseModel, path: Path) -> type[BaseModel] | None:
        """Give the model of the options that a plugin declares, where the configuration holds any."""
        if path[:1] == ("plugins",):
            return self._plugins.get(str(path[-1]))
        if len(path) == 4 and path[2] == "handlers":  # noqa: PLR2004 - routes, index, handlers, index
            return self._handlers.get(str(getattr(model, "name", "")))
        return None

    def _options(self, model: type[BaseModel] | None, given: Any, path: Path) -> Part:
        valid = None if model is None else validate_options(self._loaded, path, model, given)[0]
        if valid is None:
            return self._part(given, path, free=True)
        parts: dict[str, Part] = {}
        for name, declared in type(valid).model_fields.items():
            key = declared.alias or name
            parts[key] = self._part(getattr(valid, name), (*path, key), free=True)
        return Section(parts, self._origin(path))

    def _part(self, value: Any, path: Path, *, free: bool) -> Part:
        """Give a part.

        Args:
            value: What it is made of.
            path: Where it stands.
            free: Whether others than the gateway have declared it, and may not have said what is secret.
        """
        if isinstance(value, BaseModel):
            if free:
                fields = {name: getattr(value, name) for name in type(value).model_fields}
                return self._part(fields, path, free=True)
            return self._model(value, path)
        if isinstance(value, Mapping):
            parts = {
                str(key): self._part(one, (*path, str(key)), free=free or not isinstance(one, BaseModel))
                for key, one in value.items()
            }
            return Section(parts, self._origin(path))
        if isinstance(value, tuple | list | set | frozenset):
            entries = [self._part(one, (*path, index), free=free) for index, one in enumerate(value)]
            return Listing(tuple(entries), self._origin(path))
        return self._leaf(value, path, free=free)

    def _leaf(self, value: Any, path: Path, *, free: bool) -> Leaf:
        origin = self._origin(path)
        if isinstance(value, SecretStr | SecretBytes | Secret):
            return Leaf(_plain(value.get_secret_value()), origin, secret=True)
        if isinstance(value, Enum):
            return Leaf(value.value, origin)
        value = _plain(value)
        if isinstance(value, str):
            # Nobody has said whether such a text is for showing.
            if free and any(map(sounds_secret, path)):
                return Leaf(value, origin, secret=True)
            # Nor whether one is that whoever wrote the file has kept out of it.
            variables = self._variables(path)
            if variables:
                return Leaf(value, origin, secret=True, mask=written(variables))
            if origin == DEFAULT and value in self._masks:
                return Leaf(value, origin, secret=True, mask=self._masks[value])
        return Leaf(value, origin)

    def _variables(self, path: Path) -> tuple[str, ...]:
        """Give the variables in a value, or in the nearest one around it that is written."""
        marks = self._loaded.marks
        for length in range(len(path), -1, -1):
            place = path[:length]
            if place in marks.variables or place in marks.values:
                return marks.variables.get(place, ())
        return ()

    def _origin(self, path: Path) -> str:
        variables = self._variables(path)
        if variables:
            return f"environment {', '.join(variables)}"
        marks = self._loaded.marks
        for length in range(len(path), -1, -1):
            place = path[:length]
            if place in marks.values:
                # What is not written itself may be short for it, as a handler's name alone.
                below = path[length:]
                short = not below or (below in _SHORT and isinstance(self._written(place), str))
                return f"{marks.file}:{marks.values[place].line}" if short else DEFAULT
        return DEFAULT

    def _written(self, place: Path) -> Any:
        value = self._loaded.data
        for piece in place:
            value = value[piece]
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
