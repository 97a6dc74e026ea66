"""Settings of the way `jwt`: which issuers are believed, by which keys, and what their claims mean."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from gateway.config.models.base import (
    UNIQUE,
    ConfigModel,
    Finding,
    LocalPath,
    Name,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.rules import repeat_findings
from gateway.config.models.ways.jwks import JwksConfig  # noqa: TC001  (pydantic evaluates annotations)

HMAC: Final = frozenset({"HS256", "HS384", "HS512"})
"""The algorithms whose key is a shared secret."""

Algorithm = Literal[
    "HS256", "HS384", "HS512",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class JwtKeyConfig(ConfigModel):
    """A key of an issuer: exactly one of `secret`, `public_key` and `file`."""

    id: Name | None = Field(
        default=None,
        description="Id (`kid`) that the key's tokens name. The default, null, is for those of any id.",
    )
    secret: SecretStr | None = Field(
        default=None,
        description="Shared secret, for the HS algorithms: as many bytes as the hash has, 32 for HS256.",
    )
    public_key: str | None = Field(
        default=None,
        description="Public key or certificate in PEM form, for the other algorithms.",
    )
    file: LocalPath | None = Field(
        default=None,
        description=(
            "Path of a file with either, from the folder of this file if it is not absolute. A line break at "
            "the end of a secret is not part of it."
        ),
    )

    @property
    def source(self) -> str:
        """The key under which the key stands: `secret`, `public_key` or `file`."""
        return next(name for name in ("secret", "public_key", "file") if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = [name for name in ("secret", "public_key", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            fact = "exactly one of secret, public_key and file is needed"
            raise_findings("JwtKeyConfig", [Finding((), fact)])
        return self


class JwtIssuerConfig(ConfigModel):
    """An issuer whose tokens are believed."""

    issuer: Name = Field(description="Issuer (`iss`) of the tokens, exactly as they name it.")
    audience: Annotated[tuple[Name, ...], BeforeValidator(_as_list), UNIQUE] = Field(
        min_length=1,
        description="Audiences (`aud`), of which a token must name one: a text, or a list of them.",
    )
    algorithms: Annotated[tuple[Algorithm, ...], UNIQUE] = Field(
        min_length=1,
        description="Algorithms by which the issuer signs. Those with a shared secret (HS) stand alone.",
    )
    keys: tuple[JwtKeyConfig, ...] = Field(
        default=(),
        max_length=8,
        description="Keys of the issuer, at most 8. Default: none, and they come from `jwks`.",
    )
    jwks: JwksConfig | None = Field(
        default=None,
        description="Where the issuer publishes its keys. The default, null, is nowhere.",
    )
    user_claim: Name = Field(
        default="sub",
        description="Claim that holds the user id, a text. Default: `sub`.",
    )
    groups_claim: Name | None = Field(
        default=None,
        description=(
            "Claim that lists the names of the groups that a connection joins. The default, null, is none."
        ),
    )

    @property
    def shares_secret(self) -> bool:
        """Whether the algorithms are those with a shared secret."""
        return bool(HMAC.intersection(self.algorithms))

    def _kind_findings(self) -> list[Finding]:
        """Find keys of a kind that none of the algorithms takes."""
        unfit = "public_key" if self.shares_secret else "secret"
        findings = [
            Finding(("keys", index, unfit), f"{unfit} fits none of the algorithms")
            for index, key in enumerate(self.keys)
            if key.source == unfit
        ]
        if self.shares_secret and self.jwks is not None:
            fact = "shared secrets are never published, and the algorithms need one"
            findings.append(Finding(("jwks",), fact))
        return findings

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings: list[Finding] = []
        if not self.keys and self.jwks is None:
            findings.append(Finding((), "neither keys nor jwks are given"))
        if self.shares_secret and not HMAC.issuperset(self.algorithms):
            # Whoever knows the public key could sign with it, if it were ever taken for a secret.
            findings.append(Finding(("algorithms",), "algorithms with a shared secret and with a public key"))
        else:
            findings += self._kind_findings()
        raise_findings("JwtIssuerConfig", findings)
        return self


class JwtWayConfig(ConfigModel):
    """The built-in way `jwt`: clients present a JWT of an issuer that is listed here."""

    issuers: tuple[JwtIssuerConfig, ...] = Field(
        min_length=1,
        description="Issuers whose tokens are believed, each with its own keys.",
    )
    leeway_seconds: Number = Field(
        default=10,
        ge=0,
        le=300,
        description="Seconds by which clocks may differ, for `exp`, `nbf` and `iat`. Default: 10.",
    )
    max_token_bytes: WholeNumber = Field(
        default=8192,
        ge=256,
        le=1_048_576,
        description="Most bytes that a token may have. Default: 8192.",
    )
    max_groups: WholeNumber = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Most groups that a token may name; one that names more is refused. Default: 100.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        names = [one.issuer for one in self.issuers]
        raise_findings("JwtWayConfig", repeat_findings(("issuers",), "issuer", names, "issuer taken"))
        return self
