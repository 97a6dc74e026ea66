"""Checks of what the ways' settings refer to, for `gateway check`: keys, authorities, and services."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from gateway.auth.jwks import BadKeySetError
from gateway.auth.key_cache import KeyCache
from gateway.auth.keys import BadKeyError, read_key
from gateway.auth.service import AuthService
from gateway.config import Severity, check_authorities
from gateway.protocol.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from gateway.config import Loaded, Path, Problem
    from gateway.config.models import ForwardWayConfig, JwtIssuerConfig, JwtWayConfig

__all__ = ["check_keys", "check_services"]


def check_keys(loaded: Loaded) -> list[Problem]:
    """Read every key and authority that the configuration names; give what is wrong with them."""
    ways = loaded.config.authentication
    problems = [
        problem for place, issuer in _issuers(loaded) for problem in _issuer_problems(loaded, place, issuer)
    ]
    if ways.forward is not None:
        place = ("authentication", "forward", "server_ca")
        problems += _authority_problems(loaded, place, ways.forward.server_ca)
    return problems


async def check_services(loaded: Loaded) -> list[Problem]:
    """Ask every service that the ways need: where issuers publish their keys, and who `forward` asks."""
    questions = [
        _jwks_problems(loaded, (*place, "jwks"), issuer)
        for place, issuer in _issuers(loaded)
        if issuer.jwks is not None
    ]
    if loaded.config.authentication.forward is not None:
        questions.append(_service_problems(loaded, loaded.config.authentication.forward))
    return [problem for problems in await asyncio.gather(*questions) for problem in problems]


def _issuers(loaded: Loaded) -> Iterator[tuple[Path, JwtIssuerConfig]]:
    ways = loaded.config.authentication
    settings: list[tuple[Path, JwtWayConfig | None]] = [(("authentication", "jwt"), ways.jwt)]
    if ways.cookie is not None:
        settings.append((("authentication", "cookie", "jwt"), ways.cookie.jwt))
    for place, way in settings:
        for index, issuer in enumerate(way.issuers if way is not None else ()):
            yield (*place, "issuers", index), issuer


async def _jwks_problems(loaded: Loaded, place: Path, issuer: JwtIssuerConfig) -> list[Problem]:
    assert issuer.jwks is not None  # noqa: S101 - whoever calls has looked
    try:
        keys, left_out = await KeyCache(issuer.issuer, issuer.jwks, issuer.algorithms).look()
    except BadKeySetError as exc:
        return [loaded.problem((*place, "url"), f"issuer's keys cannot be had: {exc}")]
    except (OSError, ValueError):
        return []  # the file of authorities, which is told where the files are
    if keys or issuer.keys:
        return []
    text = f"no key of the key set fits the algorithms, {left_out} left out"
    return [loaded.problem((*place, "url"), text, severity=Severity.WARNING)]


async def _service_problems(loaded: Loaded, config: ForwardWayConfig) -> list[Problem]:
    try:
        service = AuthService(config)
    except (OSError, ValueError):
        return []
    try:
        # Without credentials: whoever is there says no, in whichever words.
        await service.ask([(b"accept", b"application/json"), (b"x-original-method", b"GET")])
    except Refused as refused:
        if refused.refusal.error == "auth_unavailable":
            text = f"service gives no answer that is one: {refused.detail}"
            return [loaded.problem(("authentication", "forward", "url"), text)]
    finally:
        await service.close()
    return []


def _issuer_problems(loaded: Loaded, place: Path, issuer: JwtIssuerConfig) -> Iterator[Problem]:
    fitted: set[str] = set()
    broken = False
    for index, config in enumerate(issuer.keys):
        try:
            fitted |= read_key(config, issuer.algorithms).algorithms
        except BadKeyError as exc:
            broken = True
            yield loaded.problem((*place, "keys", index, config.source), exc.fact)
    if issuer.jwks is None and not broken:
        for index, algorithm in enumerate(issuer.algorithms):
            if algorithm not in fitted:
                yield loaded.problem((*place, "algorithms", index), "no key fits this algorithm")
    if issuer.jwks is not None:
        yield from _authority_problems(loaded, (*place, "jwks", "server_ca"), issuer.jwks.server_ca)


def _authority_problems(loaded: Loaded, place: Path, file: FilePath | None) -> Iterator[Problem]:
    if file is None:
        return
    try:
        ssl.create_default_context(cafile=file)
    except FileNotFoundError:
        yield loaded.problem(place, "file not found")
    except (OSError, ValueError):
        yield loaded.problem(place, "file holds no certificate in pem form")
    yield from check_authorities(loaded, place, file)
