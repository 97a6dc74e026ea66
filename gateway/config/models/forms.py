"""The written forms of single values: route paths, origins, subprotocols, group templates, bearer tokens.

Each `check_` function returns its argument or raises the refusal that the validation error is made of.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.config.models.base import refusal

USER: Final = "user"
"""Name that stands for the identity's user in a group template, and therefore for no path parameter."""

RESERVED: Final = "$"
"""First character of the group names that the gateway keeps for itself."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE_PARAMETER = re.compile(r"\{[^{}]*\}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# RFC 3986 section 3.3, `pchar` without percent-encoding: routes are matched on one normalised path.
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]*")
# RFC 9110 section 5.6.2, `token`; RFC 6455 section 4.1 asks for it.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 6750 section 2.1, `b64token`: what an Authorization header can carry.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]")
_HIGHEST_PORT = 65_535


def check_path(path: str) -> str:
    """Check a route's path: literal segments and whole-segment parameters such as `/chat/{room}`."""
    for found, fact in (
        (not path.startswith("/"), "path does not begin with '/'"),
        ("?" in path, "path has a query"),
        ("#" in path, "path has a fragment"),
        ("//" in path, "path has an empty segment"),
        (".." in path, "path holds '..'"),
        ("%" in path, "path holds '%'"),
    ):
        if found:
            raise refusal(fact, path)
    for segment in path.split("/"):
        _check_segment(segment, path)
    names = parameters_of(path)
    if USER in names:
        raise refusal(f"path parameter {{{USER}}} would pass for the identity's user", path)
    if len(set(names)) < len(names):
        raise refusal("path parameter named twice", path)
    return path


def _check_segment(segment: str, path: str) -> None:
    if "{" not in segment and "}" not in segment:
        if segment == "." or not _SEGMENT.fullmatch(segment):
            raise refusal("path holds a character or segment that no route can have", path)
    elif not _WHOLE_PARAMETER.fullmatch(segment):
        raise refusal("path parameter is not a whole segment", path)
    elif not _IDENTIFIER.fullmatch(segment[1:-1]):
        raise refusal("path parameter's name is not an identifier", path)


def parameters_of(path: str) -> tuple[str, ...]:
    """Return the names of a path's parameters, in their order."""
    return tuple(_PARAMETER.findall(path))


def shape_of(path: str) -> str:
    """Return the path without its parameters' names: routes of one shape match the same requests."""
    return _PARAMETER.sub("{}", path)


def check_origin(origin: str) -> str:
    """Check an entry of `allowed_origins`: `*`, or `scheme://host[:port]` whose host may begin with `*.`."""
    if origin == "*":
        return origin
    scheme, separator, rest = origin.partition("://")
    if not separator or not _SCHEME.fullmatch(scheme):
        raise refusal("origin is neither '*' nor scheme://host[:port]", origin)
    for character, fact in (
        ("@", "origin has user information"),
        ("/", "origin has a path"),
        ("?", "origin has a query"),
        ("#", "origin has a fragment"),
    ):
        if character in rest:
            raise refusal(fact, origin)
    host, colon, port = rest.rpartition(":") if re.search(r":[^\]]*$", rest) else (rest, "", "")
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) <= _HIGHEST_PORT):
        raise refusal(f"origin's port is not between 1 and {_HIGHEST_PORT}", origin)
    if not _HOST.fullmatch(host):
        raise refusal("origin's host is not a host name, '*.' and a host name, or an address", origin)
    return origin


def check_subprotocol(subprotocol: str) -> str:
    """Check that a subprotocol is an HTTP token (RFC 6455 section 4.1)."""
    if not _TOKEN.fullmatch(subprotocol):
        raise refusal("subprotocol is not an http token", subprotocol)
    return subprotocol


def check_group_template(template: str) -> str:
    """Check a group name whose `{...}` are filled in at the opening handshake."""
    if template.startswith(RESERVED):
        raise refusal(f"group names that begin with {RESERVED!r} are reserved", template)
    literal = _PARAMETER.sub("", template)
    if "{" in literal or "}" in literal:
        raise refusal("group template has a brace that is no {parameter}", template)
    return template


def check_group_pattern(pattern: str) -> str:
    """Check the pattern of a group policy, in which `*` stands for any characters."""
    if pattern.startswith(RESERVED):
        raise refusal(f"group names that begin with {RESERVED!r} are reserved", pattern)
    return pattern


def is_bearer_token(token: str) -> bool:
    """Tell whether an Authorization header can carry the token (RFC 6750 section 2.1)."""
    return _BEARER.fullmatch(token) is not None
