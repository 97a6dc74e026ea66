"""Where a bearer credential may come in an opening handshake, and how it is found there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.core.opening import Credential
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gateway.core.request import OpeningRequest

__all__ = ["bearer_token", "cookie_values", "find"]

# RFC 6455 section 4.1: a subprotocol is an HTTP token, so what stands behind the prefix is one too.
_SUBPROTOCOL: Final = re.compile(r"bearer\.([!#$%&'*+\-.^_`|~0-9A-Za-z]+)")


def find(request: OpeningRequest, places: Iterable[str]) -> Credential | None:
    """Give the bearer credential of a request.

    Args:
        request: The request.
        places: Where it may come, as in a route's `credentials_from`: `header`, `subprotocol`, `cookie:NAME`
            or `query:NAME`. What comes anywhere else is not looked at.

    Returns:
        The credential, with the first place that has it; `None` if there is none.

    Raises:
        Refused: `unauthorized`, if there are two Authorization fields, or credentials that differ.
    """
    fields = request.get_all("authorization")
    if len(fields) > 1:
        raise refuse("unauthorized", "two Authorization fields")
    found: Credential | None = None
    for place in places:
        for value in _values(request, fields, place):
            if found is None:
                found = Credential(value, place)
            elif found.value != value:
                raise refuse("unauthorized", "more than one credential")
    return found


def _values(request: OpeningRequest, fields: Sequence[str], place: str) -> Iterator[str]:
    kind, _, name = place.partition(":")
    if kind == "header":
        token = bearer_token(fields[0]) if fields else None
        if token is not None:
            yield token
    elif kind == "subprotocol":
        for field in request.get_all("sec-websocket-protocol"):
            for part in field.split(","):
                match = _SUBPROTOCOL.fullmatch(part.strip(" \t"))
                if match is not None:
                    yield match[1]
    elif kind == "cookie":
        yield from cookie_values(request, name)
    elif kind == "query":
        yield from (value for value in request.query_params.get(name, ()) if value)


def bearer_token(field: str) -> str | None:
    """Give the token of an Authorization field of the scheme Bearer (RFC 6750 section 2.1)."""
    scheme, _, token = field.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def cookie_values(request: OpeningRequest, name: str) -> list[str]:
    """Give the values of a cookie that are not empty, in the order of their coming (RFC 6265 section 5.4).

    A name may come more than once, for example with another path: then all its values are given, so that
    nobody can put a cookie of theirs before or behind the real one.
    """
    values: list[str] = []
    for field in request.get_all("cookie"):
        for pair in field.split(";"):
            key, _, value = pair.partition("=")
            if key.strip() == name:
                value = value.strip()
                if len(value) > 1 and value[0] == value[-1] == '"':
                    value = value[1:-1]
                if value:
                    values.append(value)
    return values
