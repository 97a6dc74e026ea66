"""A strict reader for the head of a request: its line and header fields (RFC 9112 sections 3 and 5)."""

from __future__ import annotations

import re
from typing import Final

from gateway.protocol.refusals import refuse

__all__ = ["RequestHead", "parse_head"]

_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])")
# No space before the colon, no line that begins with one (obs-fold), no control character in a value. A
# field begins where a line does, and nothing in it is tried twice: the time is in proportion to the head's
# length whatever is in it.
_FIELD: Final = re.compile(r"(?<![^\n])([!#$%&'*+\-.^_`|~0-9A-Za-z]++):([\t\x20-\x7e\x80-\xff]*+)(?:\r\n|\Z)")
_HANDSHAKE_FIELDS: Final = re.compile(
    rb"\r\n(?:connection|upgrade|sec-websocket-(?:extensions|key|version)):[^\r]*", re.IGNORECASE
)


class RequestHead:
    """The head of one request, taken apart.

    Args:
        method: As sent; methods are case-sensitive.
        target: As sent, ASCII without spaces.
        version: `1.1`, say.
        fields: Values by lower-case field name, in the order of their coming, white space around them cut.
        raw: The bytes that it came as, without the empty line.
    """

    __slots__ = ("fields", "method", "raw", "target", "version")

    def __init__(
        self, method: str, target: str, version: str, fields: dict[str, list[str]], raw: bytes
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.raw = raw

    def lasting(self) -> bytes:
        """Give the bytes without the fields that say nothing beyond the opening handshake."""
        return _HANDSHAKE_FIELDS.sub(b"", self.raw)

    def get(self, name: str) -> str | None:
        """Give the first value of a field, by lower-case name; `None` if there is none."""
        values = self.fields.get(name)
        return values[0] if values else None

    def tokens(self, name: str) -> list[str]:
        """Give a list-valued field's elements in lower case, without empty ones (RFC 9110 section 5.6.1)."""
        return [
            token
            for value in self.fields.get(name, ())
            for part in value.split(",")
            if (token := part.strip(" \t").lower())
        ]


def parse_head(raw: bytes, *, max_lines: int) -> RequestHead:
    """Take the head of a request apart.

    Args:
        raw: The bytes before the empty line, without it.
        max_lines: Most header lines, the request line aside.

    Raises:
        Refused: `malformed_request` or `headers_too_large`.
    """
    request_line, separator, rest = raw.decode("latin-1").partition("\r\n")
    lines = rest.count("\r\n") + 1 if separator else 0
    if lines > max_lines:
        raise refuse(
            "headers_too_large", f"{lines} header lines, limit {max_lines}", limit="max_header_lines"
        )
    match = _REQUEST_LINE.fullmatch(request_line)
    if match is None:
        raise refuse("malformed_request", "request line")
    fields: dict[str, list[str]] = {}
    # One search for all lines costs a third of one for each. What no field covers shows in the sum: a line
    # is its name, a colon, its value, and the two bytes between lines.
    covered = -2 if separator else 0
    for name, value in _FIELD.findall(rest):
        covered += len(name) + len(value) + 3
        fields.setdefault(name.lower(), []).append(value.strip(" \t"))
    if covered != len(rest):
        raise refuse("malformed_request", "header field")
    method, target, version = match.groups()
    return RequestHead(method, target, version, fields, raw)
