"""The bodies of API requests: read up to a limit, and judged without repeating what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pydantic

from gateway.config import did_you_mean, render_path
from gateway.config.texts import describe
from gateway.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sanic import Request

__all__ = ["BadBodyError", "BodyTooBigError", "facts", "leave_unread", "parse_body", "read_body"]

Model = TypeVar("Model", bound=pydantic.BaseModel)


class BadBodyError(GatewayError):
    """A request body that the API does not take.

    Args:
        fact: What is wrong, with nothing of the body in it.
        status: The HTTP status of the answer.
        error: The stable code of the answer, in snake case.
    """

    def __init__(self, fact: str, status: int = 400, error: str = "bad_request") -> None:
        super().__init__(fact)
        self.status = status
        self.error = error


class BodyTooBigError(BadBodyError):
    """A request body that is longer than what is read of one.

    Args:
        limit: Most bytes that are read.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(f"body too big, limit {limit} bytes", 413, "body_too_big")
        self.limit = limit


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body.

    Args:
        request: A request to a handler that was registered with `stream=True`.
        limit: Most bytes to read.

    Raises:
        BodyTooBigError: If there is more.
    """
    body = bytearray()
    stream: Any = request.stream
    declared = int(request.headers.get("content-length", "0"))
    while declared <= limit and len(body) <= limit:
        part = await stream.read()
        if not part:
            return bytes(body)
        body += part
    leave_unread(request)
    raise BodyTooBigError(limit)


def leave_unread(request: Request) -> None:
    """Have the answer say `Connection: close`: what is unread of the body may be more than Sanic drains."""
    stream: Any = request.stream
    stream.keep_alive = False


def parse_body(model: type[Model], body: bytes) -> Model:
    """Make a model of a JSON body.

    Raises:
        BadBodyError: With everything that is wrong.
    """
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise BadBodyError("; ".join(facts(model, error))) from None


def facts(model: type[pydantic.BaseModel], error: pydantic.ValidationError) -> Iterator[str]:
    """Say everything that is wrong, with nothing of the input in it."""
    for detail in error.errors(include_url=False):
        text = describe(detail, None, ())
        path = tuple(detail["loc"])
        if detail["type"] == "json_invalid":
            yield f"body is not json: {text}"
        elif detail["type"] == "extra_forbidden":
            # The key is the client's own text, so only what it was meant to be is said.
            hint = did_you_mean(str(path[-1]), model.model_fields)
            yield text + (f" (did you mean {hint!r}?)" if hint else "")
        else:
            yield f"{render_path(path)}: {text}" if path else text
