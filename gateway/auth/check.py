"""Checks of the files to which the ways' settings refer, for `gateway check`: keys and authorities."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from gateway.auth.keys import BadKeyError, read_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path as FilePath

    from gateway.config import Loaded, Path, Problem
    from gateway.config.models import JwtIssuerConfig, JwtWayConfig

__all__ = ["check_keys"]


def check_keys(loaded: Loaded) -> list[Problem]:
    """Read every key and authority that the configuration names; give what is wrong with them."""
    ways = loaded.config.authentication
    settings: list[tuple[Path, JwtWayConfig | None]] = [(("authentication", "jwt"), ways.jwt)]
    if ways.cookie is not None:
        settings.append((("authentication", "cookie", "jwt"), ways.cookie.jwt))
    problems = [
        problem
        for place, way in settings
        for index, issuer in enumerate(way.issuers if way is not None else ())
        for problem in _issuer_problems(loaded, (*place, "issuers", index), issuer)
    ]
    if ways.forward is not None:
        place = ("authentication", "forward", "server_ca")
        problems += _authority_problems(loaded, place, ways.forward.server_ca)
    return problems


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
