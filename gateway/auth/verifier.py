"""Verifying a JWT (RFC 7519, RFC 8725): from the token to the identity that it proves."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import jwt
from jwt.utils import base64url_decode

from gateway.auth.claims import groups_of, user_of
from gateway.auth.key_cache import KeyCache
from gateway.auth.keys import Key, read_key
from gateway.core.identity import Identity
from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from gateway.config.models import JwtIssuerConfig, JwtWayConfig
    from gateway.core.node import Node

__all__ = ["JwtVerifier"]

_MOST_TRIES: Final = 8
"""How many keys a token is tried with that names none."""

_LAST_TIME: Final = 253_402_300_799
"""The end of the year 9999, in seconds since the epoch: milliseconds by mistake are far beyond."""

_DETAILS: Final[dict[type[Exception], str]] = {
    jwt.ExpiredSignatureError: "jwt has expired",
    jwt.ImmatureSignatureError: "jwt is not valid yet",
    jwt.InvalidAudienceError: "jwt is for another audience",
    jwt.InvalidSignatureError: "jwt has a bad signature",
    jwt.MissingRequiredClaimError: "jwt lacks a claim",
}


class _Issuer:
    """An issuer with its keys."""

    def __init__(self, config: JwtIssuerConfig) -> None:
        self.config = config
        self.keys = tuple(read_key(key, config.algorithms) for key in config.keys)
        self.published: KeyCache | None = None
        if config.jwks is not None:
            self.published = KeyCache(config.issuer, config.jwks, config.algorithms)

    async def keys_for(self, key_id: str | None, algorithm: str) -> list[Key]:
        """Give the keys that a token may have been signed with, asking the issuer for those not known.

        Raises:
            Refused: If there are none: `unauthorized`, or `auth_unavailable` if the issuer cannot be asked.
        """
        found = self._known(key_id, algorithm)
        if not found and self.published is not None:
            await self.published.refresh()
            found = self._known(key_id, algorithm)
            if not found and not self.published.reached:
                raise refuse("auth_unavailable", "issuer's keys cannot be fetched")
        if not found:
            raise refuse("unauthorized", "jwt names no known key")
        return found[:_MOST_TRIES]

    def _known(self, key_id: str | None, algorithm: str) -> list[Key]:
        published = self.published.keys if self.published is not None else ()
        fit = [key for key in (*self.keys, *published) if algorithm in key.algorithms]
        if key_id is None:
            return fit
        # A key of the file without an id is for any; one that the issuer published without, for no id.
        return [key for key in fit if key.id == key_id] or [
            key for key in self.keys if key.id is None and algorithm in key.algorithms
        ]


class JwtVerifier:
    """The verification of JWTs with one set of settings.

    Args:
        config: The settings.
        way: The name of the way, for the identities.

    Raises:
        BadKeyError: If a key of the settings cannot be used.
    """

    def __init__(self, config: JwtWayConfig, way: str) -> None:
        self._config = config
        self._way = way
        self._issuers = {one.issuer: _Issuer(one) for one in config.issuers}

    def start(self, node: Node) -> None:
        """Begin to fetch the keys that issuers publish."""
        for issuer in self._issuers.values():
            if issuer.published is not None:
                issuer.published.start(node)

    async def stop(self) -> None:
        """Fetch no more."""
        for issuer in self._issuers.values():
            if issuer.published is not None:
                await issuer.published.stop()

    async def verify(self, token: str) -> Identity:
        """Give the identity that a token proves.

        Its `expires_at` is the token's `exp` and the leeway: the time from which the token is not taken.

        Raises:
            Refused: `unauthorized` if the token is not good; `auth_unavailable` if that cannot be found out.
        """
        if len(token) > self._config.max_token_bytes:
            detail = f"jwt too long: limit {self._config.max_token_bytes} bytes"
            raise refuse("unauthorized", detail, limit="max_token_bytes")
        # Nothing of what is not verified is used, other than to choose among what is configured.
        header, issuer = self._choose(token)
        algorithm = header.get("alg")
        if algorithm not in issuer.config.algorithms:
            raise refuse("unauthorized", "jwt has an algorithm that its issuer does not use")
        claims: dict[str, Any] | None = None
        for key in await issuer.keys_for(header.get("kid"), algorithm):
            claims = self._verify(token, issuer.config, key, algorithm)
            if claims is not None:
                break
        else:
            raise refuse("unauthorized", "jwt has a bad signature")
        return self._identity(claims, issuer.config)

    def _choose(self, token: str) -> tuple[dict[str, Any], _Issuer]:
        try:
            header = jwt.get_unverified_header(token)
            payload = json.loads(base64url_decode(token.split(".")[1]))
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise refuse("unauthorized", "jwt is malformed") from None
        if "crit" in header:
            # RFC 7515 section 4.1.11: no extension is understood here.
            raise refuse("unauthorized", "jwt needs an extension")
        name = payload.get("iss") if isinstance(payload, dict) else None
        issuer = self._issuers.get(name) if isinstance(name, str) else None
        if issuer is None:
            raise refuse("unauthorized", "jwt has an unknown issuer")
        return header, issuer

    def _verify(self, token: str, issuer: JwtIssuerConfig, key: Key, algorithm: str) -> dict[str, Any] | None:
        """Give the claims; `None` if the key is another's."""
        try:
            return jwt.decode(
                token,
                key.material,
                algorithms=[algorithm],
                audience=issuer.audience,
                issuer=issuer.issuer,
                leeway=self._config.leeway_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.InvalidSignatureError:
            return None
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError) as exc:
            raise refuse(
                "unauthorized", _DETAILS.get(type(exc), "jwt has a claim that is not good")
            ) from None

    def _identity(self, claims: dict[str, Any], issuer: JwtIssuerConfig) -> Identity:
        expires = _time(claims, "exp")
        issued = _time(claims, "iat")
        _time(claims, "nbf")
        assert expires is not None  # noqa: S101 - a required claim
        return Identity(
            user_of(claims, issuer.user_claim),
            MappingProxyType(claims),
            expires_at=expires + self._config.leeway_seconds,
            proved_by=self._way,
            groups=groups_of(claims, issuer.groups_claim, self._config.max_groups),
            token_id=claims.get("jti"),
            issued_at=issued,
        )


def _time(claims: dict[str, Any], name: str) -> float | None:
    """Give a claim that is a time (RFC 7519 section 2, NumericDate): PyJWT takes texts and `true` for one."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= _LAST_TIME:
        raise refuse("unauthorized", f"jwt has an {name} that is no time")
    return float(value)
