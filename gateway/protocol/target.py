"""The request target: one normalised path, on which route and policy decide alike (RFC 9112 section 3.2)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.protocol.refusals import refuse

__all__ = ["parse_authority", "parse_target"]

_AUTHORITY: Final = re.compile(
    r"(?:(?P<host>(?:[A-Za-z0-9_\-]+\.)*[A-Za-z0-9_\-]+\.?)|\[(?P<address>[0-9A-Fa-f:.]+)\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_AUTHORITY_CHARACTERS: Final = 260  # a name of 253 (RFC 1035 section 2.3.4), its dot, and a port
_TARGET: Final = re.compile(r"[!\"$-~]+")  # visible ASCII but for the number sign, which begins a fragment
# The usual one, which needs no second look: segments without dots or escapes, and no query.
_PLAIN_TARGET: Final = re.compile(r"/(?:[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*+/?)?")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HIGHEST_PORT: Final = 65535


@lru_cache(maxsize=256)
def parse_authority(value: str) -> tuple[str, int | None] | None:
    """Take `host[:port]` apart; give the host in comparable form and the port, or `None` if it is malformed.

    A name is put in lower case; an IPv6 address, in brackets, in its shortest form.
    """
    match = _AUTHORITY.fullmatch(value) if len(value) <= _MAX_AUTHORITY_CHARACTERS else None
    if match is None:
        return None
    port = int(match["port"]) if match["port"] is not None else None
    if port is not None and not 0 < port <= _HIGHEST_PORT:
        return None
    if match["host"] is not None:
        return match["host"].lower(), port
    try:
        return f"[{IPv6Address(match['address']).compressed}]", port
    except ValueError:
        return None


def parse_target(target: str, host: str) -> tuple[str, str]:
    """Give the decoded path and the raw query string of a request target.

    The path is refused, not repaired, where two readers could differ over it: empty segments, dot
    segments, and escapes that hide a slash, a backslash or a control character.

    Args:
        target: As in the request line: origin form, or absolute form of the same authority.
        host: The value of the Host field.

    Raises:
        Refused: `bad_target`.
    """
    if _PLAIN_TARGET.fullmatch(target):
        return target, ""
    if not _TARGET.fullmatch(target):
        raise refuse("bad_target", "fragment, or a character that has to be escaped")
    if not target.startswith("/"):
        scheme, _, rest = target.partition("://")
        authority, slash, tail = rest.partition("/")
        if scheme.lower() not in {"http", "https", "ws", "wss"} or not authority:
            raise refuse("bad_target", "neither origin form nor absolute form")
        if authority.lower() != host.lower():
            raise refuse("bad_target", "another authority than Host")
        target = slash + tail if slash else "/"
    path, _, query = target.partition("?")
    if "%" in path:
        path = _decode(path)
    if "//" in path or "\\" in path or any(part in {".", ".."} for part in path.split("/")):
        raise refuse("bad_target", "empty or dot segment")
    return path, query


def _decode(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise refuse("bad_target", "malformed escape")
    raw = unquote_to_bytes(path)
    if raw.count(b"/") != path.count("/") or any(byte < 0x20 or byte == 0x7F for byte in raw):  # noqa: PLR2004
        raise refuse("bad_target", "escaped slash or control character")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise refuse("bad_target", "escapes are not UTF-8") from None
