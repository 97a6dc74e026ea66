"""The JSON Schema of `gateway.yaml` (draft 2020-12), for editors: from the models, as YAML may say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from gateway.config.models import GatewayConfig
from gateway.config.models.broker import BUILT_IN_BROKERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic_core import core_schema

__all__ = ["FROM_ENVIRONMENT", "json_schema", "model_schema", "plain_schema", "writable"]

FROM_ENVIRONMENT: Final = "FromEnvironment"
"""Name of the definition that a value from the environment fits, whatever it has to become."""

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NULL: Final[Mapping[str, Any]] = {"type": "null"}

# What a validator takes besides, where it runs before the type is looked at; by the function's name.
_TAKEN_BEFORE: Final[Mapping[str, tuple[Mapping[str, Any], ...]]] = {
    "_empty_when_null": (_NULL,),
    "_no_entries_when_null": (_NULL,),
    "_presence_word": ({"type": "boolean"}, _NULL),
    "_as_list": ({"type": "string"},),
    "_end": ({"type": "string"},),
    "_from_name": ({"type": "string", "minLength": 1},),
    "_type_is_given": (),
    "_is_path": (),
}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, which knows what validators take that run before others."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> dict[str, Any]:
        """Describe what such a validator takes, and what goes through it."""
        inner = self.generate_inner(schema["schema"])
        name = getattr(schema["function"]["function"], "__name__", "")
        taken = _TAKEN_BEFORE.get(name, ())
        return {"anyOf": [inner, *map(dict, taken)]} if taken else inner


class _PlainGenerator(_Generator):
    """The same for people, whom it need not tell that what is left empty is left out."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> dict[str, Any]:
        """Describe what such a validator takes, and what goes through it."""
        described = super().function_before_schema(schema)
        members = [one for one in described.get("anyOf", ()) if one != _NULL]
        return members[0] if len(members) == 1 else described


def json_schema() -> dict[str, Any]:
    """Give the schema of the whole file, without what plugins add."""
    schema = model_schema(GatewayConfig)
    plugin = schema["$defs"]["PluginBrokerConfig"]["properties"]["type"]
    plugin["not"] = {"enum": sorted(BUILT_IN_BROKERS)}
    schema["$defs"][FROM_ENVIRONMENT] = {
        "type": "string",
        "pattern": r"\$\{",
        "description": "A value from the environment: ${NAME}, or ${NAME:-default}.",
    }
    return {"$schema": _DIALECT, "title": "gateway.yaml", **schema}


def plain_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Give the schema of a model as pydantic makes it: values from the environment are not in it."""
    found = model.model_json_schema(schema_generator=_PlainGenerator)
    for definition in found["$defs"].values():
        if "anyOf" in definition and "properties" not in definition:
            # What may be short for the whole, as a handler's name alone, is no part of it.
            whole: dict[str, Any] = next((one for one in definition["anyOf"] if "properties" in one), {})
            definition |= {key: value for key, value in whole.items() if key != "description"}
            if whole:
                del definition["anyOf"]
    return found


def model_schema(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Give the schema of a model as YAML may say it; its definitions stand under `$defs`.

    Args:
        model: The model.
        prefix: Begins the names of the definitions. Default: nothing does.
    """
    template = f"#/$defs/{prefix}{{model}}"
    found = model.model_json_schema(ref_template=template, schema_generator=_Generator)
    definitions = {
        f"{prefix}{name}": writable(definition) for name, definition in found.pop("$defs", {}).items()
    }
    schema: dict[str, Any] = writable(found)
    schema.pop("title", None)
    if definitions:
        schema["$defs"] = definitions
    return schema


def writable(schema: Any) -> Any:
    """Let values come from the environment, and leave out what editors need not show."""
    if isinstance(schema, list):
        return [writable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # What stands under a key of a model is a schema; what a default or an enumeration holds is not.
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"default", "enum", "const", "examples", "required"}:
            found[key] = value
        elif key in {"properties", "$defs"}:
            found[key] = {name: writable(one) for name, one in value.items()}
        elif key == "oneOf":
            # A reference to the environment fits several of them.
            found["anyOf"] = writable(value)
        elif key not in {"title", "format", "writeOnly", "discriminator"}:
            found[key] = writable(value)
    if "anyOf" in found:
        _straighten(found)
    return _or_from_environment(found) if _is_written_once(found) else found


def _straighten(schema: dict[str, Any]) -> None:
    """Put alternatives within alternatives beside the others, and what is said of objects to the objects."""
    members: list[Any] = []
    for one in schema["anyOf"]:
        inner = one["anyOf"] if isinstance(one, dict) and set(one) == {"anyOf"} else [one]
        members += [member for member in inner if member not in members]
    if "additionalProperties" in schema:
        refused = schema.pop("additionalProperties")
        members = [
            {**one, "additionalProperties": refused} if one.get("type") == "object" else one
            for one in members
        ]
    schema["anyOf"] = members


def _is_written_once(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema is one of a single value that is no free text."""
    return schema.get("type") in {"integer", "number", "boolean"} or "enum" in schema or "const" in schema


def _or_from_environment(schema: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for key in ("default", "description"):
        if key in schema:
            described[key] = schema.pop(key)
    return described | {"anyOf": [schema, {"$ref": f"#/$defs/{FROM_ENVIRONMENT}"}]}
