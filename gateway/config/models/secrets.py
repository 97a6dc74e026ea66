"""What secrets of `gateway.yaml` share: how long they are at least that sign, and what stands for none."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr

from gateway.config.models.base import refusal

_LEAST_BYTES: Final = 32


# The schema for editors knows it by this name, as its namesake for mappings.
def _empty_when_null(value: Any) -> Any:
    # An unquoted `${NAME:-}` reads as null when NAME is unset: it means the same as the quoted form.
    return "" if value is None else value


def _check_length(secret: SecretStr) -> SecretStr:
    size = len(secret.get_secret_value().encode())
    if size < _LEAST_BYTES:
        # Whoever has one thing that it signed can try secrets at leisure.
        raise refusal(f"secret too short: {size} bytes, at least {_LEAST_BYTES} bytes")
    return secret


def _check_length_if_given(secret: SecretStr) -> SecretStr:
    return _check_length(secret) if secret.get_secret_value() else secret


EMPTY_TEXT_WHEN_NULL = BeforeValidator(_empty_when_null)
"""Marks a text for which `key:` with nothing behind it means an empty one."""

SigningSecret = Annotated[SecretStr, AfterValidator(_check_length)]
"""A secret that signs, of 32 bytes or more, never shown."""

SigningSecretOrNone = Annotated[SecretStr, EMPTY_TEXT_WHEN_NULL, AfterValidator(_check_length_if_given)]
"""The same, or an empty text: there is none."""
