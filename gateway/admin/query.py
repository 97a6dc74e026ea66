"""The query strings of API requests, judged without repeating what they hold."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, get_origin
from urllib.parse import parse_qs

import pydantic

from gateway.admin.body import BadBodyError, facts

if TYPE_CHECKING:
    from sanic import Request

    from gateway.admin.inside import Inside

__all__ = ["Query", "parse_query"]

Model = TypeVar("Model", bound="Query")

_MOST_FIELDS = 1000


class Query(pydantic.BaseModel):
    """A question to the API: the fields of its query string, and its answer."""

    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)

    answers: ClassVar[type[pydantic.BaseModel]]
    """The form of the answer, but for what none has: fields that are left out where they say nothing."""

    @abstractmethod
    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Find the answer; a JSON object.

        Raises:
            BadBodyError: If the question is about what there is not.
            BrokerUnavailableError: If the answer cannot be found now.
        """


def parse_query(model: type[Model], request: Request) -> Model:
    """Make a model of a query string; a field that is a list may come more than once, others may not.

    Raises:
        BadBodyError: With everything that is wrong.
    """
    try:
        given = parse_qs(
            request.query_string,
            keep_blank_values=True,
            strict_parsing=bool(request.query_string),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise BadBodyError("query string is malformed") from None
    values: dict[str, Any] = {}
    for name, found in given.items():
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is list:
            values[name] = found
        elif len(found) > 1:
            raise BadBodyError(
                f"{name if field is not None else 'a name'}: given {len(found)} times, once is enough"
            )
        else:
            values[name] = found[0]
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        raise BadBodyError("; ".join(facts(model, error))) from None
