"""The rules that hold between values: what single fields cannot judge.

Each takes what could be read and None for what could not, so that a file with other errors is still judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.config.models.base import Finding
from gateway.config.models.forms import USER, parameters_of, shape_of
from gateway.config.models.networks import UNIX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Sequence


def route_findings(path: str | None, groups: Sequence[str | None]) -> list[Finding]:
    """Find group templates of a route that name something other than its path's parameters or `{user}`.

    Args:
        path: The route's path; None where it cannot be judged, and then nothing is found.
        groups: The group templates; None in place of those that are wrong in themselves.
    """
    if path is None:
        return []
    known = {*parameters_of(path), USER}
    return [
        Finding(("groups", index), "group template names no parameter of the path", f"{{{name}}}")
        for index, template in enumerate(groups)
        if template is not None
        for name in parameters_of(template)
        if name not in known
    ]


def subprotocol_findings(*, required: bool, offered: int) -> list[Finding]:
    """Find `require_subprotocol` without any subprotocol that a client could choose.

    Args:
        required: The value of `require_subprotocol`.
        offered: The number of the route's subprotocols.
    """
    if required and not offered:
        return [Finding(("require_subprotocol",), "a subprotocol is required, and subprotocols names none")]
    return []


def unix_findings(given: Container[str], proxies: Sequence[str | None]) -> list[Finding]:
    """Find addresses beside a unix-domain socket, and what is said of such a socket where there is none.

    Args:
        given: The keys of `listen` that have been set.
        proxies: Its `trusted_proxies`, None in place of what is wrong.
    """
    if "unix" in given:
        return [
            Finding((key,), f"{key} stands beside unix, which is listened on in place of host and port")
            for key in ("host", "port")
            if key in given
        ]
    findings = [
        Finding(("trusted_proxies", index), "peers have addresses, since listen.unix is not set", UNIX)
        for index, proxy in enumerate(proxies)
        if proxy == UNIX
    ]
    if "unix_mode" in given:
        findings.append(Finding(("unix_mode",), "unix_mode is set, and unix is not"))
    return findings


def address_findings(main: tuple[object, int | None], admin: tuple[object, int | None]) -> list[Finding]:
    """Find a port that both listeners would have.

    Args:
        main: Host and port of `listen`.
        admin: Host and port of `admin`.
    """
    if admin[1] and main == admin:
        return [Finding(("admin", "port"), "port is that of listen", admin[1])]
    return []


def client_certificate_findings(*, asked: str | None, given: bool) -> list[Finding]:
    """Find clients' certificates that nothing can verify, and an authority that verifies none.

    Args:
        asked: The value of `client_certificates`; None where it cannot be judged.
        given: Whether `client_ca` names a file.
    """
    if asked in {"optional", "required"} and not given:
        return [
            Finding(("client_certificates",), "client certificates are asked for, and client_ca is not set")
        ]
    if asked == "none" and given:
        return [Finding(("client_ca",), "client_ca is set, and client_certificates asks for none")]
    return []


def server_name_findings(entries: Sequence[Sequence[str | None] | None]) -> list[Finding]:
    """Find server names that an earlier entry of `more_certificates` has.

    Args:
        entries: The server names of each entry, None in place of what is wrong or left out.
    """
    first: dict[str, int] = {}
    findings: list[Finding] = []
    for index, names in enumerate(entries):
        for number, name in enumerate(names or ()):
            owner = index if name is None else first.setdefault(name.lower(), index)
            if owner != index:
                place = ("more_certificates", index, "server_names", number)
                more = f", first used by entry {owner}"
                findings.append(Finding(place, "server name taken by another certificate", name, more))
    return findings


def cookie_place(
    ways: Sequence[str | None], places: Sequence[str | None], *, forwarded: bool = False
) -> tuple[str | int, ...] | None:
    """Give where a route says that a cookie may prove an identity; None where it says no such thing.

    Args:
        ways: The route's `authenticate`.
        places: The route's `credentials_from`.
        forwarded: Whether the way `forward` passes cookies on. Default: no.
    """
    for index, way in enumerate(ways):
        if way == "cookie" or (forwarded and way == "forward"):
            return ("authenticate", index)
    for index, place in enumerate(places if ways else ()):
        if place is not None and place.startswith("cookie:"):
            return ("credentials_from", index)
    return None


def cookie_findings(
    place: tuple[str | int, ...], *, origins: Sequence[str | None] | None, missing: bool
) -> list[Finding]:
    """Find what would let any page open a route in the name of whoever looks at the page.

    A browser sends cookies with every opening handshake, whichever page begins it, so that only the origin
    tells pages apart.

    Args:
        place: Where the route says that a cookie may prove an identity.
        origins: The route's `allowed_origins`; None where it has none.
        missing: The value of `allow_missing_origin`.
    """
    findings = []
    if origins is None:
        fact = "a cookie proves the identity, and allowed_origins lists no origins"
        findings.append(Finding(place, fact, advice="list the origins of your own pages"))
    findings += [
        Finding(
            ("allowed_origins", index),
            "a cookie proves the identity, and any page may connect",
            "*",
            advice="list the origins of your own pages",
        )
        for index, origin in enumerate(origins or ())
        if origin == "*"
    ]
    if missing:
        fact = "a cookie proves the identity, and clients without an origin may connect"
        findings.append(Finding(("allow_missing_origin",), fact))
    return findings


def certificate_findings(ways: Sequence[str | None], *, asked: str | None) -> list[Finding]:
    """Find the way `mtls` where clients are never asked for a certificate.

    Args:
        ways: An `authenticate`.
        asked: The value of `client_certificates`; None where it cannot be judged.
    """
    fact = "clients are not asked for certificates, see listen.tls.client_certificates"
    return [
        Finding(("authenticate", index), fact)
        for index, way in enumerate(ways)
        if way == "mtls" and asked == "none"
    ]


def any_page_findings(ways: Sequence[str | None], *, origins: Sequence[str | None] | None) -> list[Finding]:
    """Find routes on which any page may use the certificate that a browser shows by itself.

    Args:
        ways: The route's `authenticate`.
        origins: Its `allowed_origins`; None where it has none.
    """
    if "mtls" not in ways:
        return []
    fact = "a client certificate proves the identity, and any page may connect"
    return [
        Finding(("allowed_origins", index), fact, "*", advice="list the origins of your own pages")
        for index, origin in enumerate(origins or ())
        if origin == "*"
    ]


def api_findings(ways: Sequence[str | None], *, claims: bool) -> list[Finding]:
    """Find ways that would open the HTTP API for everybody, and one that never opens it.

    Args:
        ways: The value of `authenticate`.
        claims: Whether `required_claims` names any.
    """
    findings = [
        Finding(("authenticate", index), "no cookie opens the api: a browser sends it for any page")
        for index, way in enumerate(ways)
        if way == "cookie"
    ]
    if ways and not claims:
        fact = "every user could call the api: required_claims has to say who may"
        findings.append(Finding(("authenticate",), fact))
    return findings


def routes_findings(routes: Sequence[tuple[str | None, str | None]]) -> list[Finding]:
    """Find routes that take another's path or name.

    Args:
        routes: Path and name of each route, None for what cannot be judged. An omitted name is the path.
    """
    paths = [path for path, _ in routes]
    shapes = [None if path is None else shape_of(path) for path in paths]
    findings = [
        Finding(("routes", index, "path"), "path taken by another route", paths[index], more)
        for index, more in _repeats(shapes, lambda first: f", first used by routes[{first}]")
    ]
    taken = {finding.path[1] for finding in findings}
    names = [name for _, name in routes]
    findings += [
        Finding(("routes", index, "name"), "route name taken", names[index], more)
        for index, more in _repeats(names, lambda first: f", first used by routes[{first}]")
        # Two unnamed routes of one path are one mistake, not two.
        if not (index in taken and names[index] == paths[index])
    ]
    return findings


def secret_findings(given: Container[str]) -> list[Finding]:
    """Find an entry that has both `token` and `hash`, or neither.

    Args:
        given: The keys that were written.
    """
    if "token" in given and "hash" in given:
        return [Finding(("hash",), "hash stands beside token, one of them is enough")]
    if "token" not in given and "hash" not in given:
        return [Finding((), "neither token nor hash is given")]
    return []


def broker_findings(kind: str, given: Collection[str]) -> list[Finding]:
    """Find credentials for a broker that are half given, or given in two ways.

    Args:
        kind: The broker's `type`.
        given: The keys of credentials that have a value.
    """
    findings = []
    if "user" in given and "password" not in given:
        findings.append(Finding(("user",), "user without a password"))
    if kind == "nats" and "password" in given and "user" not in given:
        findings.append(Finding(("password",), "password without a user"))
    ways = [key for key in ("user", "token", "credentials_file", "nkey_file") if key in given]
    findings += [Finding((key,), f"{key} stands beside {ways[0]}, one of them is enough") for key in ways[1:]]
    return findings


def broker_tls_findings(*, certificate: bool, key: bool) -> list[Finding]:
    """Find a certificate for the broker without its key, or the reverse.

    Args:
        certificate: Whether `certificate` is given.
        key: Whether `key` is.
    """
    if certificate != key:
        have, miss = ("certificate", "key") if certificate else ("key", "certificate")
        return [Finding((have,), f"{have} without its {miss}")]
    return []


def repeat_findings(
    section: tuple[str | int, ...],
    key: str,
    values: Sequence[str | None],
    fact: str,
    *,
    secret: bool = False,
) -> list[Finding]:
    """Find entries of a list whose value under one key was used by an earlier entry.

    Args:
        section: Where the list stands.
        key: The key that must differ from entry to entry.
        values: The value of each entry, None for those that cannot be judged.
        fact: What to say of a repeated value.
        secret: Whether the value stays out of the finding. Default: it is shown.
    """
    return [
        Finding((*section, index, key), fact, None if secret else values[index], more)
        for index, more in _repeats(values, lambda first: f", first used by entry {first}")
    ]


def _repeats(values: Sequence[str | None], describe: Callable[[int], str]) -> list[tuple[int, str]]:
    first: dict[str, int] = {}
    repeats: list[tuple[int, str]] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if value in first:
            repeats.append((index, describe(first[value])))
        else:
            first[value] = index
    return repeats
