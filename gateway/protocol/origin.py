"""Which origins may connect (RFC 6454; RFC 6455 section 10.2): an allow-list, never a fall-through."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.protocol.target import parse_authority

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Origin", "OriginPolicy", "own_origin", "parse_origin", "show_origin"]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LONGEST_SHOWN: Final = 200
# No browser sends them, and they may be secrets.
_USER: Final = re.compile(r"(?<=://).*@", re.DOTALL)
_QUERY: Final = re.compile(r"(?<=[?#]).+", re.DOTALL)


class Origin(NamedTuple):
    """An origin in comparable form: case folded, IPv6 shortened, the default port filled in.

    `port` is `None` where the scheme has no default one and none was given.
    """

    scheme: str
    host: str
    port: int | None


def parse_origin(text: str) -> Origin | None:
    """Take `scheme://host[:port]` apart; `None` for anything else, `null` and user information included."""
    scheme, _, rest = text.partition("://")
    authority = parse_authority(rest)
    if authority is None or not _SCHEME.fullmatch(scheme):
        return None
    scheme = scheme.lower()
    host, port = authority
    return Origin(scheme, host, port if port is not None else _DEFAULT_PORTS.get(scheme))


def own_origin(scheme: str, host: str) -> Origin | None:
    """Give the origin that a request was made to; `None` if its Host is malformed.

    Args:
        scheme: `http` or `https`.
        host: The value of the Host field.
    """
    authority = parse_authority(host)
    if authority is None:
        return None
    name, port = authority
    return Origin(scheme, name, port if port is not None else _DEFAULT_PORTS[scheme])


def show_origin(values: list[str]) -> str:
    """Return what a log line says for the Origin of a request: at most 200 characters, all of them printable.

    Args:
        values: All values of the field.
    """
    if len(values) != 1:
        return f"{len(values)} values of Origin" if values else "no Origin"
    shown = _QUERY.sub("...", _USER.sub("...@", values[0]))[: _LONGEST_SHOWN + 1]
    shown = "".join(character if " " <= character <= "~" else "?" for character in shown)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[: _LONGEST_SHOWN - 3]}..."


@dataclass(frozen=True, slots=True)
class OriginPolicy:
    """The origins that a route admits.

    Args:
        exact: Origins that match as they are.
        suffixes: Origins whose host is a suffix such as `.example.com`, from `https://*.example.com`: one
            or more labels stand before it.
        any_origin: Whether `*` was written.
        own_origin: Whether the origin that the request itself was made to is admitted.
        missing: Whether a request without Origin is admitted.
    """

    exact: frozenset[Origin]
    suffixes: tuple[Origin, ...]
    any_origin: bool
    own_origin: bool
    missing: bool

    @classmethod
    def from_config(cls, allowed: tuple[str, ...] | None, *, missing: bool) -> OriginPolicy:
        """Make the policy of a route; `None` for `allowed` admits the page's own origin only.

        Raises:
            ValueError: If an entry is neither `*` nor `scheme://host[:port]`.
        """
        exact: set[Origin] = set()
        suffixes: list[Origin] = []
        for entry in allowed or ():
            if entry == "*":
                continue
            scheme, _, host = entry.partition("://")
            wildcard = host.startswith("*.")
            origin = parse_origin(f"{scheme}://{host[2:]}" if wildcard else entry)
            if origin is None or (wildcard and origin.host.startswith("[")):
                raise ValueError(f"not an origin: {entry}")
            if wildcard:
                suffixes.append(origin._replace(host=f".{origin.host}"))
            else:
                exact.add(origin)
        return cls(frozenset(exact), tuple(suffixes), "*" in (allowed or ()), allowed is None, missing)

    def admits_request(self, fields: Mapping[str, list[str]], scheme: str) -> bool:
        """Tell whether a request may connect.

        Args:
            fields: All values of each field, by its name in lower case.
            scheme: `http` or `https`, as the client speaks.
        """
        values = fields.get("origin", [])
        own = None
        if values and self.own_origin:
            hosts = fields.get("host", [])
            own = own_origin(scheme, hosts[0]) if len(hosts) == 1 else None
        return self.admits(values, own)

    def admits(self, values: list[str], own: Origin | None) -> bool:
        """Tell whether a request with these Origin values may connect.

        Args:
            values: All values of the Origin field; more than one is never admitted.
            own: The origin that the request was made to, by its scheme and Host.
        """
        if not values:
            return self.missing
        if len(values) > 1:
            return False
        if self.any_origin:
            return True
        origin = parse_origin(values[0])
        if origin is None:
            return False
        if self.own_origin:
            return origin == own
        return origin in self.exact or any(
            origin.scheme == suffix.scheme
            and origin.port == suffix.port
            and origin.host.endswith(suffix.host)
            for suffix in self.suffixes
        )
