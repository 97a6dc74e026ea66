"""The rules between values, applied to a file that has other errors: pydantic does not get as far then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gateway.config.models.admin import AdminConfig
from gateway.config.models.broker import BUILT_IN_BROKERS
from gateway.config.models.group_rules import (
    gap_findings,
    pattern_findings,
    ping_findings,
    presence_findings,
    resume_findings,
)
from gateway.config.models.limits import RouteLimits
from gateway.config.models.listen import ListenConfig
from gateway.config.models.rules import (
    address_findings,
    any_page_findings,
    api_findings,
    broker_findings,
    broker_tls_findings,
    certificate_findings,
    client_certificate_findings,
    cookie_findings,
    cookie_place,
    repeat_findings,
    route_findings,
    routes_findings,
    secret_findings,
    server_name_findings,
    subprotocol_findings,
    unix_findings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.config.models.base import Finding
    from gateway.config.problems import Path

_TICKET: Final[Path] = ("authentication", "ticket")
_LISTEN: Final[Path] = ("listen",)
_TLS: Final[Path] = ("listen", "tls")
_API: Final[Path] = ("api",)
_BROKER: Final[Path] = ("broker",)
_PING_SECONDS: Final = RouteLimits().ping_interval_seconds
_WRONG: Final = object()
"""What stands for a value that was meant to be given and could not be read, as one of an unset variable."""


def salvaged_findings(data: Any, bad: Iterable[Path]) -> list[Finding]:
    """Judge what can still be judged.

    Args:
        data: The plain data of the whole file.
        bad: Paths of the values that are wrong in themselves, and of those that are missing.
    """
    return _Salvage(data, frozenset(bad)).findings()


class _Salvage:
    def __init__(self, data: Any, bad: frozenset[Path]) -> None:
        self._data = data
        self._bad = bad

    def findings(self) -> list[Finding]:
        routes = range(len(self._entries(("routes",))))
        findings = routes_findings([(self._text(("routes", n, "path")), self._route_name(n)) for n in routes])
        for index in routes:
            findings += [replace(one, path=("routes", index, *one.path)) for one in self._route(index)]
        findings += [replace(one, path=(*_TICKET, *one.path)) for one in self._proofs(_TICKET)]
        findings += [replace(one, path=(*_LISTEN, *one.path)) for one in self._listen()]
        findings += [replace(one, path=(*_TLS, *one.path)) for one in self._tls()]
        findings += [replace(one, path=(*_API, *one.path)) for one in self._api()]
        main, admin = self._place("listen", ListenConfig()), self._place("admin", AdminConfig())
        findings += address_findings(main, admin)
        findings += [replace(one, path=(*_BROKER, *one.path)) for one in self._broker()]
        findings += self._groups()
        for section, key, fact, secret in (
            (("api", "tokens"), "name", "token name taken", False),
            (("authentication", "token", "keys"), "name", "key name taken", False),
            (("authentication", "token", "keys"), "token", "token taken", True),
            (("authentication", "token", "keys"), "hash", "token taken", True),
        ):
            values = [self._text((*section, n, key)) for n in range(len(self._entries(section)))]
            given = [value or None for value in values]
            findings += repeat_findings(section, key, given, fact, secret=secret)
        for section in (("api", "tokens"), ("authentication", "token", "keys")):
            for index, entry in enumerate(self._entries(section)):
                if isinstance(entry, dict) and (*section, index) not in self._bad:
                    found = secret_findings(entry)
                    findings += [replace(one, path=(*section, index, *one.path)) for one in found]
        return findings

    def _route(self, index: int) -> list[Finding]:
        around: Path = ("routes", index)
        findings = route_findings(self._text((*around, "path")), self._texts((*around, "groups")))
        subprotocols = self._at((*around, "subprotocols"))
        if subprotocols is None or isinstance(subprotocols, list):
            required = self._at((*around, "require_subprotocol")) is True
            findings += subprotocol_findings(required=required, offered=len(subprotocols or ()))
        findings += gap_findings(self._word((*around, "envelope"), "none"), self._text((*around, "on_gap")))
        limits = [
            self._number((*around, "limits", key))
            for key in ("ping_interval_seconds", "pong_timeout_seconds")
        ]
        findings += [replace(one, path=("limits", *one.path)) for one in ping_findings(*limits)]
        return findings + self._proofs(around)

    def _groups(self) -> list[Finding]:
        entries = self._entries(("groups",))
        findings = pattern_findings([self._text(("groups", n, "pattern")) for n in range(len(entries))])
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                found = presence_findings(self._presence(index), self._given(("groups", index)))
                findings += [replace(one, path=("groups", index, *one.path)) for one in found]
        return findings + resume_findings(
            self._text(("broker", "type")),
            [self._text(("routes", n, "envelope")) for n in range(len(self._entries(("routes",))))],
            history=any(isinstance(entry, dict) and entry.get("history") is not None for entry in entries),
            # A key that is wrong in itself was meant to be one.
            key=bool(self._at(("resume", "key"))),
        )

    def _presence(self, index: int) -> str | None:
        value = self._at(("groups", index, "presence"))
        if value is None or isinstance(value, bool):
            return "members" if value else "off"
        return self._text(("groups", index, "presence"))

    def _proofs(self, around: Path) -> list[Finding]:
        ways = self._texts((*around, "authenticate"))
        findings = certificate_findings(ways, asked=self._asked())
        findings += any_page_findings(ways, origins=self._texts((*around, "allowed_origins")))
        return findings + self._cookies(around)

    def _cookies(self, around: Path) -> list[Finding]:
        ways, places = self._texts((*around, "authenticate")), self._texts((*around, "credentials_from"))
        by_cookie = cookie_place(ways, places, forwarded=self._forwards_cookies())
        origins = self._at((*around, "allowed_origins"))
        if by_cookie is None or not (origins is None or isinstance(origins, list)):
            return []
        listed = None if origins is None else self._texts((*around, "allowed_origins"))
        missing = self._at((*around, "allow_missing_origin")) is True
        return cookie_findings(by_cookie, origins=listed, missing=missing)

    def _listen(self) -> list[Finding]:
        listen = self._at(_LISTEN)
        if not isinstance(listen, dict):
            return []
        given = {key for key in listen if self._at((*_LISTEN, key)) is not None}
        return unix_findings(given, self._texts((*_LISTEN, "trusted_proxies")))

    def _tls(self) -> list[Finding]:
        tls = self._at(_TLS)
        if not isinstance(tls, dict):
            return []
        findings = client_certificate_findings(
            asked=self._asked(), given=self._at((*_TLS, "client_ca")) is not None
        )
        entries: Path = (*_TLS, "more_certificates")
        names = [self._texts((*entries, n, "server_names")) for n in range(len(self._entries(entries)))]
        return findings + server_name_findings(names)

    def _api(self) -> list[Finding]:
        ways = self._texts((*_API, "authenticate"))
        claims = self._at((*_API, "required_claims"))
        # What is wrong in itself was meant to name some.
        findings = api_findings(ways, claims=not (claims is None or claims == {}))
        # The operators' listener speaks no TLS.
        asked = self._asked() if self._at(("admin", "port")) is None else "none"
        return findings + certificate_findings(ways, asked=asked)

    def _place(self, section: str, default: ListenConfig | AdminConfig) -> tuple[object, int | None]:
        """Give host and port of a section; no port where either is wrong in itself."""
        given = [self._at((section, key)) for key in ("host", "port", "unix")]
        if any((section, key) in self._bad for key in ("host", "port", "unix")):
            return None, None
        host, port, unix = given
        return unix or host or default.host, default.port if port is None else port

    def _broker(self) -> list[Finding]:
        broker = self._at(_BROKER)
        kind = self._text((*_BROKER, "type"))
        if not isinstance(broker, dict) or kind not in BUILT_IN_BROKERS:
            return []
        findings = broker_findings(kind, self._given(_BROKER))
        if isinstance(broker.get("tls"), dict):
            halves = {key: self._at((*_BROKER, "tls", key)) is not None for key in ("certificate", "key")}
            findings += [replace(one, path=("tls", *one.path)) for one in broker_tls_findings(**halves)]
        return findings

    def _asked(self) -> str | None:
        tls = self._at(_TLS)
        if isinstance(tls, dict) and "client_certificates" in tls:
            return self._text((*_TLS, "client_certificates"))
        return "none" if tls is None or isinstance(tls, dict) else None

    def _forwards_cookies(self) -> bool:
        place: Path = ("authentication", "forward")
        names = [*self._texts((*place, "headers")), *self._texts((*place, "extra_headers"))]
        return any(name is not None and name.lower() == "cookie" for name in names)

    def _route_name(self, index: int) -> str | None:
        around: Path = ("routes", index)
        route = self._at(around)
        key = "name" if isinstance(route, dict) and "name" in route else "path"
        return self._text((*around, key))

    def _entries(self, path: Path) -> list[Any]:
        value = self._at(path)
        return value if isinstance(value, list) else []

    def _given(self, path: Path) -> set[str]:
        """Give the keys of a mapping that say something: null or an empty list is as good as left out."""
        values = {key: self._at((*path, key)) for key in self._at(path)}
        return {key for key, value in values.items() if value or value == 0}

    def _texts(self, path: Path) -> list[str | None]:
        return [self._text((*path, n)) for n in range(len(self._entries(path)))]

    def _text(self, path: Path) -> str | None:
        value = None if path in self._bad else self._at(path)
        return value if isinstance(value, str) else None

    def _word(self, path: Path, default: str) -> str | None:
        return default if self._at(path) is None else self._text(path)

    def _number(self, path: Path) -> float | None:
        """Give a number, or the 20 seconds that pings and pongs have when nothing is said."""
        value = self._at(path)
        if value is None:
            return _PING_SECONDS
        good = isinstance(value, int | float) and not isinstance(value, bool) and path not in self._bad
        return value if good else None

    def _at(self, path: Path) -> Any:
        """Give a value; null where there is none, and `_WRONG` where there was to be one."""
        value = self._data
        for piece in path:
            if isinstance(value, dict):
                if piece not in value:
                    return None
                value = value[piece]
            elif isinstance(value, list) and isinstance(piece, int):
                value = value[piece]
            else:
                return None
        return _WRONG if value is None and path in self._bad else value
