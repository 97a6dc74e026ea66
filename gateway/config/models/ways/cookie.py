"""Settings of the way `cookie`: a session cookie that an application of the same site has set."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import (
    DAY,
    ConfigModel,
    Finding,
    Name,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.forms import check_cookie_name
from gateway.config.models.secrets import SigningSecret  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.ways.jwt import JwtWayConfig  # noqa: TC001  (pydantic evaluates annotations)


class SignedCookieConfig(ConfigModel):
    """A cookie signed with a shared secret: `URLSafeTimedSerializer` of itsdangerous, as Flask writes."""

    secrets: tuple[SigningSecret, ...] = Field(
        min_length=1,
        max_length=8,
        description="Secrets that are good, at most 8, each of at least 32 bytes: an old one may stand by.",
    )
    salt: Name = Field(
        default="cookie-session",
        description="Salt with which the secret is mixed. Default: `cookie-session`, Flask's.",
    )
    key_derivation: Literal["hmac", "django-concat", "concat", "none"] = Field(
        default="hmac",
        description="How salt and secret are mixed. Default: `hmac`, as Flask does.",
    )
    digest: Literal["sha1", "sha256", "sha512"] = Field(
        default="sha1",
        description="Hash of the signature. Default: `sha1`, Flask's, which is sound in an HMAC.",
    )
    max_age_seconds: Number = Field(
        default=DAY,
        gt=0,
        le=366 * DAY,
        description="Seconds from the signing to the end of the session. Default: 86400, a day.",
    )
    leeway_seconds: Number = Field(
        default=10,
        ge=0,
        le=300,
        description="Seconds by which clocks may differ. Default: 10.",
    )
    user_claim: Name = Field(
        default="sub",
        description="Key of the session that holds the user id, a text or a whole number. Default: `sub`.",
    )
    groups_claim: Name | None = Field(
        default=None,
        description="Key of the session that lists groups to join. The default, null, is none.",
    )
    max_groups: WholeNumber = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Most groups that a session may name; one that names more is refused. Default: 100.",
    )


class CookieWayConfig(ConfigModel):
    """The built-in way `cookie`: exactly one of `jwt` and `signed` says what the cookie holds."""

    name: Annotated[Name, AfterValidator(check_cookie_name)] = Field(
        description="Name of the cookie. Those that begin with `__Host-` cannot be set by a subdomain.",
    )
    jwt: JwtWayConfig | None = Field(
        default=None,
        description="The cookie is a JWT, and these are settings as of the way `jwt`. Default: null.",
    )
    signed: SignedCookieConfig | None = Field(
        default=None,
        description="The cookie is signed with a shared secret. Default: null.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.jwt is None) == (self.signed is None):
            raise_findings("CookieWayConfig", [Finding((), "exactly one of jwt and signed is needed")])
        return self
