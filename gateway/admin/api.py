"""The HTTP API: an authenticated call pushes a message from anywhere."""

from __future__ import annotations

import binascii
import json as json_library
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Self

import pydantic
from pydantic import Field, StringConstraints
from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.auth.token import bearer_token, same_secret

if TYPE_CHECKING:
    from sanic import Request

    from gateway.config.models import ApiConfig
    from gateway.core.node import Node

__all__ = ["PublishRequest", "api_blueprint"]

Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class PublishRequest(pydantic.BaseModel):
    """The body of `POST /api/publish`: one target, and one form of data."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    group: Annotated[Name, Field(pattern=r"^[^$]")] | None = None
    user: Name | None = None
    everyone: bool = False
    data: Any = None
    data_base64: str | None = None

    @pydantic.model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.group is not None) + (self.user is not None) + self.everyone != 1:
            raise ValueError("exactly one of group, user and everyone is needed")
        if ("data" in self.model_fields_set) + (self.data_base64 is not None) != 1:
            raise ValueError("exactly one of data and data_base64 is needed")
        return self

    def message(self) -> str | bytes:
        """Give the message: a text as it is, any other JSON value as JSON text, base64 as binary.

        Raises:
            ValueError: If `data_base64` is not base64.
        """
        if self.data_base64 is not None:
            try:
                return b64decode(self.data_base64, validate=True)
            except binascii.Error:
                raise ValueError("data_base64 is not base64") from None
        if isinstance(self.data, str):
            return self.data
        return json_library.dumps(self.data, ensure_ascii=False, separators=(",", ":"))


def api_blueprint(node: Node, config: ApiConfig) -> Blueprint:
    """Make the API; every call needs one of the configuration's bearer tokens."""
    blueprint = Blueprint("gateway_api", url_prefix="/api")
    secrets = [token.token.get_secret_value() for token in config.active_tokens]

    @blueprint.on_request
    async def authenticate(request: Request) -> HTTPResponse | None:
        token = bearer_token({"authorization": request.headers.get("authorization", "")})
        fitting = [secret for secret in secrets if token is not None and same_secret(secret, token)]
        if fitting:
            return None
        return _error(401, "unauthorized", "a bearer token is required", {"www-authenticate": "Bearer"})

    @blueprint.post("/publish")
    async def publish(request: Request) -> HTTPResponse:
        try:
            body = PublishRequest.model_validate_json(request.body)
            message = body.message()
            if body.everyone:
                count = node.publish_to_everyone(message)
            elif body.user is not None:
                count = node.publish_to_user(body.user, message)
            else:
                count = node.publish(str(body.group), message)
        except pydantic.ValidationError as exc:
            return _error(400, "bad_request", "; ".join(_texts(exc)))
        except ValueError as exc:
            return _error(400, "bad_request", str(exc))
        return json({"node": node.name, "connections": count})

    return blueprint


def _texts(error: pydantic.ValidationError) -> list[str]:
    return [
        ": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, "))))
        for item in error.errors(include_input=False, include_url=False)
    ]


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers=headers)
