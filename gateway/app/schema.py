"""The JSON Schema of `gateway.yaml` together with the options of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.app.prepare import load_plugins
from gateway.config.models import AuthenticationConfig
from gateway.config.schema import json_schema, model_schema
from gateway.plugin.manager import BUILT_IN

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import BaseModel

    from gateway.plugin.manager import PluginManager

__all__ = ["schema_with_plugins"]


def schema_with_plugins(only: Collection[str] | None = None) -> dict[str, Any]:
    """Give the schema with the options of handlers, ways, brokers and plugins.

    Args:
        only: Names of the plugins whose options are in it. Default: those of all that are installed.
    """
    manager = load_plugins()
    schema = json_schema()
    built = _Built(schema, manager, only)
    built.add_handlers()
    built.add_ways()
    built.add_brokers()
    built.add_plugins()
    schema["$defs"] = dict(sorted(schema["$defs"].items()))
    return schema


class _Built:
    """A schema to which the plugins' own are added."""

    def __init__(self, schema: dict[str, Any], manager: PluginManager, only: Collection[str] | None) -> None:
        self._schema = schema
        self._definitions: dict[str, Any] = schema["$defs"]
        self._manager = manager
        self._wanted = {
            plugin.name
            for plugin in manager.plugins
            if plugin.distribution != BUILT_IN and (only is None or plugin.name in only)
        }

    def _reference(self, what: str, name: str, model: type[BaseModel]) -> dict[str, Any]:
        """Add a model's schema to the definitions; give the reference to it."""
        key = f"{what}.{name}"
        found = model_schema(model, f"{key}.")
        self._definitions |= found.pop("$defs", {})
        if not model.__doc__ or model.__doc__.startswith("Options from gateway.yaml"):
            found["description"] = f"Takes no options: {what} {name}."
        self._definitions[key] = found
        return {"$ref": f"#/$defs/{key}"}

    def add_handlers(self) -> None:
        """Give the options of each handler, by the name that stands beside them."""
        rules = [
            _when("name", name, {"options": _or_null(self._reference("handler", name, cls.options_model))})
            for name, (plugin, cls) in sorted(self._manager.handlers().items())
            if plugin.name in self._wanted
        ]
        if rules:
            self._definitions["HandlerUse"]["allOf"] = rules

    def add_ways(self) -> None:
        """Give the settings of each way of a plugin; others than theirs are unknown keys."""
        section = self._definitions["AuthenticationConfig"]
        for name, (plugin, cls) in sorted(self._manager.authenticators().items()):
            if plugin.name in self._wanted and name not in AuthenticationConfig.model_fields:
                section["properties"][name] = _or_null(self._reference("way", name, cls.options_model))
        section["additionalProperties"] = False

    def add_brokers(self) -> None:
        """Give the settings of each broker of a plugin, beside its type."""
        rules = []
        for name, (plugin, cls) in sorted(self._manager.brokers().items()):
            if plugin.name in self._wanted:
                reference = self._reference("broker", name, cls.options_model)
                known = self._definitions[f"broker.{name}"]
                known.setdefault("properties", {})["type"] = {"const": name}
                rules.append({"if": _is("type", name), "then": reference})
        if rules:
            self._definitions["PluginBrokerConfig"]["allOf"] = rules

    def add_plugins(self) -> None:
        """Give the options of each plugin under its name."""
        known = {}
        for plugin in self._manager.plugins:
            model = self._manager.options_model(plugin) if plugin.name in self._wanted else None
            if model is not None:
                options = _or_null(self._reference("plugin", plugin.name, model))
                settings = {"$ref": "#/$defs/PluginConfig", "properties": {"options": options}}
                known[plugin.name] = _or_null(settings)
        section = self._schema["properties"]["plugins"]["anyOf"][0]
        section["properties"] = known


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _is(key: str, value: str) -> dict[str, Any]:
    return {"properties": {key: {"const": value}}, "required": [key]}


def _when(key: str, value: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"if": _is(key, value), "then": {"properties": properties}}
