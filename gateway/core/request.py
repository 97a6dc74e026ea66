"""The request of an opening handshake, as handlers and plugins see it."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.protocol.head import RequestHead

__all__ = ["OpeningRequest"]


class OpeningRequest:
    """The request that opened a connection.

    Args:
        head: The head of the request.
        path: The decoded path.
    """

    __slots__ = ("_fields", "path", "query")

    def __init__(self, head: RequestHead, path: str) -> None:
        self._fields: dict[str, list[str]] = head.fields
        self.path = path
        self.query = head.target.partition("?")[2]
        """The query string, undecoded, without `?`."""

    def __repr__(self) -> str:
        # Fields and query may carry credentials, so that neither belongs in a log line.
        return f"<OpeningRequest {self.path}>"

    @property
    def headers(self) -> Mapping[str, str]:
        """Field values by lower-case name; where a field came more than once, the first."""
        return {name: values[0] for name, values in self._fields.items()}

    def get_all(self, name: str) -> list[str]:
        """Give all values of a field, in the order of their coming; the name in any case."""
        return list(self._fields.get(name.lower(), ()))

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies by name; empty if the Cookie field is malformed."""
        jar: SimpleCookie = SimpleCookie()
        try:
            for value in self._fields.get("cookie", ()):
                jar.load(value)
        except CookieError:
            return {}
        return {name: morsel.value for name, morsel in jar.items()}

    @property
    def query_params(self) -> Mapping[str, list[str]]:
        """Decoded values of the query string by name."""
        return parse_qs(self.query, keep_blank_values=True)
