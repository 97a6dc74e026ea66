"""The reference of all keys of `gateway.yaml`, in Markdown: from the models."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models import GatewayConfig
from gateway.config.schema import plain_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["reference"]

_INTRODUCTION: Final = """\
# Every key of gateway.yaml

`make reference` writes this file from the models: edit those. How the parts work together stands in the
[operator's guide](README.md), and [gateway.yaml](../gateway.yaml) has all keys in one place. Relative paths
begin in the folder of the file. Any value may be `${NAME}` or `${NAME:-default}`, from the environment.
`gateway.schema.json` beside this file says the same to editors; `gateway schema` prints it with the options
of all plugins that are installed.
"""
_TYPES: Final[Mapping[str, str]] = {
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "mapping",
}
_FORMATS: Final[Mapping[str, str]] = {"path": "path", "password": "secret", "date-time": "date or time"}


def reference() -> str:
    """Give the whole document."""
    schema = plain_schema(GatewayConfig)
    pages = _Pages(schema["$defs"])
    pages.add("", schema)
    return "\n".join([_INTRODUCTION, *pages.written]) + "\n"


class _Pages:
    """The sections of the document, in the order in which keys lead to them.

    Args:
        definitions: The models, by name.
    """

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.written: list[str] = []
        self._definitions = definitions
        self._places: dict[str, str] = {}

    def add(self, place: str, schema: Mapping[str, Any]) -> None:
        """Add a section, and those that its keys lead to.

        Args:
            place: The keys that lead to it; empty for the whole file.
            schema: What it may hold.
        """
        rows = []
        below: list[tuple[str, str]] = []
        # What a section is comes before what is set in it.
        for key, one in sorted(schema["properties"].items(), key=lambda entry: entry[0] != "type"):
            inside = f"{place}.{key}" if place else key
            for suffix, name in self._models(one):
                self._places.setdefault(name, f"{inside}{suffix}{self._kind(name)}")
                below.append((inside, name))
            rows.append(self._row(key, one, required=key in schema.get("required", ())))
        title = f"## {_code(place)}" if place else "## The whole file"
        about = "" if not place else f"\n{_one_line(str(schema.get('description', '')))}\n"
        table = ["| key | value | default | meaning |", "| --- | --- | --- | --- |", *rows]
        self.written.append("\n".join([title, about, *table, ""] if about else [title, "", *table, ""]))
        done: set[str] = set()
        for inside, name in below:
            own = self._places[name]
            if own.startswith(inside) and name not in done:
                done.add(name)
                self.add(own, self._definitions[name])

    def _models(self, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Give the models that a value may be made of, each with what comes between: `[]` or `.NAME`."""
        if "$ref" in schema:
            name = str(schema["$ref"]).rpartition("/")[2]
            if "properties" in self._definitions[name]:
                yield "", name
            elif "anyOf" in self._definitions[name]:
                yield from self._models(self._definitions[name])
            return
        for one in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self._models(one)
        if isinstance(schema.get("items"), dict):
            yield from ((f"[]{suffix}", name) for suffix, name in self._models(schema["items"]))
        if isinstance(schema.get("additionalProperties"), dict):
            found = self._models(schema["additionalProperties"])
            yield from ((f".NAME{suffix}", name) for suffix, name in found)

    def _kind(self, name: str) -> str:
        """Give what tells a model from others of its place: the `type` that it has."""
        kinds = self._definitions[name]["properties"].get("type", {})
        if "const" in kinds:
            return f" ({kinds['const']})"
        if "enum" in kinds:
            return f" ({' or '.join(kinds['enum'])})"
        return " (a plugin's)" if name == "PluginBrokerConfig" else ""

    def _row(self, key: str, schema: Mapping[str, Any], *, required: bool) -> str:
        default = "required" if required else ""
        if "default" in schema:
            default = _code(_shown(schema["default"]))
        meaning = _one_line(str(schema.get("description", "")))
        return f"| {_code(key)} | {self._words(schema)} | {default} | {meaning} |"

    def _words(self, schema: Mapping[str, Any]) -> str:
        """Say what a value may be."""
        if "$ref" in schema:
            return self._words_of(str(schema["$ref"]).rpartition("/")[2])
        members = (*schema.get("anyOf", ()), *schema.get("oneOf", ()))
        if members:
            return " or ".join(dict.fromkeys(map(self._words, members)))
        if "enum" in schema:
            return ", ".join(_code(str(word)) for word in schema["enum"])
        if "const" in schema:
            return _code(str(schema["const"]))
        if schema.get("type") == "array":
            items = schema.get("items")
            return f"list of {self._words(items)}" if items else "list"
        inside = schema.get("additionalProperties")
        if schema.get("type") == "object" and isinstance(inside, dict) and inside:
            return f"mapping of names to {self._words(inside)}"
        return _FORMATS.get(str(schema.get("format")), _TYPES.get(str(schema.get("type")), "any")) + _range(
            schema
        )

    def _words_of(self, name: str) -> str:
        definition = self._definitions[name]
        if name in self._places:
            place = self._places[name]
            return f"[{_code(place)}](#{_anchor(place)})"
        if "anyOf" in definition:
            return " or ".join(map(self._words, definition["anyOf"]))
        return self._words(definition)


def _range(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    parts = []
    if above is not None:
        parts.append(f"above {_number(above)}")
    if least is not None and most is not None:
        parts.append(f"{_number(least)} to {_number(most)}")
    elif least is not None:
        parts.append(f"{_number(least)} or more")
    elif most is not None:
        parts.append(f"{_number(most)} at most")
    if below is not None:
        parts.append(f"below {_number(below)}")
    return f", {', '.join(parts)}" if parts else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else str(value)


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _code(text: str) -> str:
    return f"`{text}`"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _anchor(title: str) -> str:
    """Give the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
