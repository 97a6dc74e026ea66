"""The OpenAPI document of the HTTP API, made of the models that judge its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from gateway import __version__
from gateway.admin.answers import (
    DisconnectAnswer,
    ErrorAnswer,
    PublishAnswer,
    PublishErrorAnswer,
    RevokeAnswer,
)
from gateway.admin.ending import DisconnectRequest, RevokeRequest
from gateway.admin.publishing import PublishRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic.json_schema import JsonSchemaMode

    from gateway.admin.query import Query

__all__ = ["describe"]

_REFERENCE: Final = "#/components/schemas/{model}"

_ERRORS: Final[dict[int, str]] = {
    400: "The question, or what it asks about, is malformed.",
    401: "No good credentials.",
    403: "The credentials do not open this, or a page of another origin asks.",
    404: "There is nothing of this name, or it has not what is asked for.",
    413: "The body or the message is too big.",
    503: "It cannot be done now; `broker_unavailable` says that nothing was published.",
}

_CALLS: Final[tuple[tuple[str, type[BaseModel], type[BaseModel], str, tuple[int, ...]], ...]] = (
    ("publish", PublishRequest, PublishAnswer, "Publish a message.", (400, 413, 503)),
    ("disconnect", DisconnectRequest, DisconnectAnswer, "Close connections on every node.", (400, 413, 503)),
    ("revoke", RevokeRequest, RevokeAnswer, "Take a token or a user's tokens no more.", (400, 413, 503)),
)


def describe(readings: Mapping[str, type[Query]], session: type[BaseModel]) -> dict[str, Any]:
    """Make the document.

    Args:
        readings: What can be asked with GET, by the last part of the path.
        session: The form of the answer to `GET /api/session`.
    """
    told: list[type[BaseModel]] = [ErrorAnswer, PublishErrorAnswer, session]
    for _, body, answer, _, _ in _CALLS:
        told += [body, answer]
    for query in readings.values():
        told += [query, query.answers]
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in told]
    references, schemas = models_json_schema(models, ref_template=_REFERENCE, schema_generator=_Schema)
    definitions = schemas["$defs"]

    def reference(model: type[BaseModel]) -> dict[str, Any]:
        return references[model, "validation"]

    def errors(*statuses: int) -> dict[str, Any]:
        return {
            str(status): _response(_ERRORS[status], reference(ErrorAnswer))
            for status in sorted({401, 403, *statuses})
        }

    paths: dict[str, Any] = {}
    for name, body, answer, text, statuses in _CALLS:
        refusals = errors(*statuses)
        if name == "publish":
            either = {"anyOf": [reference(PublishErrorAnswer), reference(ErrorAnswer)]}
            refusals["413"] = _response(_ERRORS[413], either)
            refusals["503"] = _response(_ERRORS[503], either)
        paths[f"/api/{name}"] = {
            "post": {
                "operationId": name,
                "summary": text,
                "description": f"Needs the scope `{name}`.",
                "requestBody": {"required": True, **_content(reference(body))},
                "responses": {"200": _response("Done.", reference(answer)), **refusals},
            }
        }
    for name, query in readings.items():
        paths[f"/api/{name}"] = {
            "get": {
                "operationId": name,
                "summary": _first(query.answers),
                "description": "Needs the scope `read`.",
                "parameters": _parameters(definitions[query.__name__]),
                "responses": {
                    "200": _response("The answer.", reference(query.answers)),
                    **errors(400, 404, 503),
                },
            }
        }
        del definitions[query.__name__]
    paths["/api/session"] = {
        "get": {
            "operationId": "session",
            "summary": "Who calls, and what they may do.",
            "responses": {"200": _response("The answer.", reference(session)), **errors()},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "gateway",
            "version": __version__,
            "description": "What may be done to a running gateway, and asked of it. Any node answers for "
            "all.",
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `api: tokens`, or a credential that a way of "
                    "`api: authenticate` takes.",
                }
            },
        },
        "security": [{"bearer": []}],
    }


class _Schema(GenerateJsonSchema):
    """As pydantic has it, without the titles that it makes of names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, **_content(schema)}


def _parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the fields of a query as parameters; one that is left out is null, so that null is no value."""
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "description": field.get("description", ""),
            "schema": _without_null(field),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    plain = {key: value for key, value in field.items() if key != "description"}
    if plain.get("default", "") is None:
        del plain["default"]
    alternatives = [one for one in plain.pop("anyOf", []) if one != {"type": "null"}]
    return {**plain, **(alternatives[0] if alternatives else {})}


def _first(model: type[BaseModel]) -> str:
    return str(model.__doc__).partition("\n")[0]
