"""The HTTP API: an authenticated call pushes a message from anywhere."""

from __future__ import annotations

import binascii
import json as json_library
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Self

import pydantic
from pydantic import AfterValidator, Field
from sanic import Blueprint
from sanic.response import HTTPResponse, json

from gateway.admin.body import BadBodyError, leave_unread, parse_body, read_body
from gateway.auth.token import bearer_token, same_secret

if TYPE_CHECKING:
    from sanic import Request

    from gateway.config.models import ApiConfig
    from gateway.core.node import Node

__all__ = ["PublishRequest", "api_blueprint"]


def _not_ours(group: str) -> str:
    if group.startswith("$"):
        raise ValueError("groups whose names begin with $ are the gateway's own")
    return group


Name = Annotated[str, Field(min_length=1, max_length=512)]


class PublishRequest(pydantic.BaseModel):
    """The body of `POST /api/publish`: one target, and one form of data."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    group: Annotated[Name, AfterValidator(_not_ours)] | None = Field(
        default=None, description="Name of the group that gets the message."
    )
    user: Name | None = Field(
        default=None, description="User id: all connections of the user get the message."
    )
    everyone: bool = Field(default=False, description="Whether every connection gets the message.")
    data: Any = Field(
        default=None, description="The message: a text as it is, any other JSON value as its JSON text."
    )
    data_base64: str | None = Field(default=None, description="The message as binary, in base64.")

    @pydantic.model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.group is not None) + (self.user is not None) + self.everyone != 1:
            raise ValueError("exactly one of group, user and everyone is needed")
        if ("data" in self.model_fields_set) + (self.data_base64 is not None) != 1:
            raise ValueError("exactly one of data and data_base64 is needed")
        return self

    def message(self) -> str | bytes:
        """Give the message as it goes out.

        Raises:
            BadBodyError: If `data_base64` is not base64, or `data` is a number that JSON has no form for.
        """
        if self.data_base64 is not None:
            try:
                return b64decode(self.data_base64, validate=True)
            except (binascii.Error, ValueError):
                raise BadBodyError("data_base64: not base64") from None
        if isinstance(self.data, str):
            return self.data
        try:
            return json_library.dumps(self.data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            raise BadBodyError("data: holds a number that json has no form for") from None

    def publish(self, node: Node) -> int:
        """Publish the message; give how many connections of the node it was handed to."""
        message = self.message()
        if self.everyone:
            return node.publish_to_everyone(message)
        if self.user is not None:
            return node.publish_to_user(self.user, message)
        return node.publish(str(self.group), message)


def api_blueprint(node: Node, config: ApiConfig) -> Blueprint:
    """Make the API; every call needs one of the configuration's bearer tokens."""
    blueprint = Blueprint("gateway_api", url_prefix="/api")
    secrets = [(entry.name, entry.token.get_secret_value()) for entry in config.active_tokens]

    @blueprint.on_request
    async def authenticate(request: Request) -> HTTPResponse | None:
        fields = request.headers.getall("authorization", [])
        given = bearer_token({"authorization": fields[0]}) if len(fields) == 1 else None
        # Every token is compared, so that the time tells nothing of which one was near.
        fitting = [name for name, secret in secrets if given is not None and same_secret(secret, given)]
        if fitting:
            request.ctx.token_name = fitting[0]
            return None
        node.log.info("api_refused", status=401, error="unauthorized", path=request.path, remote=request.ip)
        leave_unread(request)
        return _error(401, "unauthorized", "a valid bearer token is required", {"www-authenticate": "Bearer"})

    # As a stream, so that nothing of the body is kept before the token is judged.
    @blueprint.post("/publish", stream=True)
    async def publish(request: Request) -> HTTPResponse:
        try:
            body = await read_body(request, config.max_body_bytes)
            count = parse_body(PublishRequest, body).publish(node)
        except BadBodyError as exc:
            return _error(exc.status, exc.error, str(exc))
        node.log.debug("api_published", token=request.ctx.token_name, connections=count)
        return json({"node": node.name, "connections": count})

    return blueprint


def _error(status: int, error: str, message: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    return json({"error": error, "message": message}, status=status, headers=headers)
