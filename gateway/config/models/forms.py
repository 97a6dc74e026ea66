"""The written forms of single values: route paths, origins, subprotocols, group templates, bearer tokens.

Each `check_` function returns its argument or raises the refusal that the validation error is made of.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from gateway.config.models.base import refusal

USER: Final = "user"
"""Name that stands for the identity's user in a group template, and therefore for no path parameter."""

RESERVED: Final = "$"
"""First character of the group names that the gateway keeps for itself."""

BEARER: Final = "bearer."
"""How a subprotocol begins that carries a credential, and so is never spoken."""

TICKET: Final = "ticket."
"""The same for one that carries a ticket."""

_PARAMETER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_WHOLE_PARAMETER = re.compile(r"\{[^{}]*\}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# RFC 3986 section 3.3, `pchar` without percent-encoding: routes are matched on one normalised path.
_SEGMENT = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@]*")
# RFC 9110 section 5.6.2, `token`; RFC 6455 section 4.1 asks for it.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 3986 section 2.3, `unreserved`: what is the same in a URL, however it is written.
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9\-._~]+")
# RFC 6750 section 2.1, `b64token`: what an Authorization header can carry.
_BEARER = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
# RFC 7515 section 7.1, the compact serialization; the signature of an unsigned one is empty.
_JWT = re.compile(r"[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*\.[A-Za-z0-9_\-]*")
_FILE_MODE = re.compile(r"0?[0-7]{3}")
_TOKEN_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\]")
_SERVER_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_HIGHEST_PORT = 65_535
_BROKER_PREFIX = re.compile(r"[A-Za-z0-9_\-]{1,64}")
# RFC 3986 section 2: no spaces, no control characters, nothing beyond ASCII.
_URL = re.compile(r"[\x21-\x7e]+")


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


def check_server_name(name: str) -> str:
    """Check a name that TLS clients ask for: a host name, or `*.` and one. Give it in lower case.

    RFC 6066 section 3: it is in ASCII, has no dot at its end, and is never an address.
    """
    if not _SERVER_NAME.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        raise refusal("server name is not a host name, or '*.' and a host name", name)
    return name.lower()


def check_subprotocol(subprotocol: str) -> str:
    """Check that a subprotocol is an HTTP token (RFC 6455 section 4.1)."""
    if not _TOKEN.fullmatch(subprotocol):
        raise refusal("subprotocol is not an http token", subprotocol)
    for prefix in (BEARER, TICKET):
        if subprotocol.startswith(prefix):
            raise refusal(f"subprotocols that begin with {prefix!r} carry credentials", subprotocol)
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


def check_group_name(name: str) -> str:
    """Check the name of a group where nothing is filled in."""
    if name.startswith(RESERVED):
        raise refusal(f"group names that begin with {RESERVED!r} are reserved", name)
    if "{" in name or "}" in name:
        raise refusal("group name has a brace, and only a route's groups are templates", name)
    return name


def check_place(place: str) -> str:
    """Check an entry of `credentials_from`: `header`, `subprotocol`, `cookie:NAME` or `query:NAME`."""
    kind, colon, name = place.partition(":")
    if not (kind in {"cookie", "query"} if colon else kind in {"header", "subprotocol"}):
        raise refusal("place is not header, subprotocol, cookie:NAME or query:NAME", place)
    if kind == "cookie" and not _TOKEN.fullmatch(name):
        raise refusal("name of a cookie is not an http token", place)
    if kind == "query" and not _PARAMETER_NAME.fullmatch(name):
        raise refusal("name of a query parameter has a character that no url can have", place)
    return place


def check_cookie_name(name: str) -> str:
    """Check that the name of a cookie is an HTTP token (RFC 6265 section 4.1.1)."""
    if not _TOKEN.fullmatch(name):
        raise refusal("name of a cookie is not an http token", name)
    return name


def is_bearer_token(token: str) -> bool:
    """Tell whether an Authorization header can carry the token (RFC 6750 section 2.1)."""
    return _BEARER.fullmatch(token) is not None


def has_jwt_form(token: str) -> bool:
    """Tell whether a token has the form of a JWT, good or not: three parts in base64url."""
    return _JWT.fullmatch(token) is not None


def is_token_hash(text: str) -> bool:
    """Tell whether a text is the hash of a token, as `gateway hash-token` prints it."""
    return _TOKEN_HASH.fullmatch(text) is not None


def check_file_mode(mode: str) -> str:
    """Check the permissions of a file in octal form, such as `0660`."""
    if not _FILE_MODE.fullmatch(mode):
        raise refusal("not the permissions of a file in octal, such as '0660'", mode)
    return mode


def check_url(url: str) -> str:
    """Check the URL of a service that the gateway asks: `https`, or `http`, which some settings allow."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or not _URL.fullmatch(url):
        raise refusal("not a url of https")
    if parts.username is not None or parts.password is not None:
        raise refusal("url has user information")
    if parts.fragment:
        raise refusal("url has a fragment")
    return url


def check_broker_prefix(prefix: str) -> str:
    """Check how the gateway's names at the broker begin: letters, digits, `-` and `_`, 64 at most."""
    if not _BROKER_PREFIX.fullmatch(prefix):
        raise refusal("prefix is not made of 1 to 64 letters, digits, '-' and '_'", prefix)
    return prefix


def check_nats_url(url: str) -> str:
    """Check the URL of a NATS server: `nats` or `tls`, a host, and a port or the default one."""
    return _check_server_url(url, ("nats", "tls"))


def check_valkey_url(url: str) -> str:
    """Check the URL of a Valkey server: `valkey`, or `valkeys` for TLS, and likewise with `redis`."""
    return _check_server_url(url, ("valkey", "valkeys", "redis", "rediss"))


def _check_server_url(url: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        port = parts.port
    except ValueError:
        host = port = None
    if not host or port == 0 or parts.scheme not in schemes or not _URL.fullmatch(url):
        raise refusal(f"not a url of {' or '.join(schemes)}")
    if parts.username is not None or parts.password is not None:
        raise refusal("url has user information, which has keys of its own")
    if parts.path or parts.query or parts.fragment:
        raise refusal("url has something behind its host and port")
    return url


def is_loopback(host: str) -> bool:
    """Tell whether a host of a URL is this machine, by its form alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
