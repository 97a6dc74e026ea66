"""The forms of a bearer token in `gateway.yaml`: the token itself, or its hash."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from gateway.config.models.base import ConfigModel, raise_findings, refusal
from gateway.config.models.forms import is_bearer_token, is_token_hash
from gateway.config.models.rules import secret_findings
from gateway.config.models.secrets import EMPTY_TEXT_WHEN_NULL

HASH_PREFIX: Final = "sha256:"
"""What stands before the hexadecimal digits of a hash, so that another kind can join."""

_NONE: Final = SecretStr("")


def _check_token(token: SecretStr) -> SecretStr:
    text = token.get_secret_value()
    if text and not is_bearer_token(text):
        raise refusal("token has a character that no authorization header can carry (rfc 6750 section 2.1)")
    return token


def _check_hash(given: SecretStr) -> SecretStr:
    text = given.get_secret_value()
    if text and not is_token_hash(text):
        # It may be the token itself, put in the wrong place: nothing of it is shown.
        raise refusal("hash is not 'sha256:' and 64 hexadecimal digits, as `gateway hash-token` prints it")
    return given


Token = Annotated[SecretStr, EMPTY_TEXT_WHEN_NULL, AfterValidator(_check_token)]
"""A bearer token, never shown. Empty means that there is none."""

TokenHash = Annotated[SecretStr, EMPTY_TEXT_WHEN_NULL, AfterValidator(_check_hash)]
"""The hash of a bearer token, not shown either. Empty means that there is none."""


def token_digest(token: str) -> bytes:
    """Give the SHA-256 of a bearer token.

    A slow hash such as scrypt protects passwords, which can be guessed. A token is random: of 128 bits or
    more there is nothing to guess, whatever a guess costs, and a slow hash would only serve those who send
    many wrong tokens.
    """
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


class KnownToken(ConfigModel):
    """A bearer token that the gateway knows: as it is, or by its hash."""

    token: Token = Field(
        default=_NONE,
        description="The secret itself, from the environment. With an empty one this entry proves nothing.",
    )
    hash: TokenHash = Field(
        default=_NONE,
        description="In place of `token`: its hash, as `gateway hash-token` prints it.",
    )

    @property
    def digest(self) -> bytes | None:
        """SHA-256 of the token; `None` if the entry has none."""
        token, given = self.token.get_secret_value(), self.hash.get_secret_value()
        if given:
            return bytes.fromhex(given.removeprefix(HASH_PREFIX))
        return token_digest(token) if token else None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        raise_findings("KnownToken", secret_findings(self.model_fields_set))
        return self
