"""`gateway hash-token`: the hash of a token, so that gateway.yaml need not hold the token itself."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Final

import typer

from gateway.cli.common import fail, out
from gateway.config.models.bearer import HASH_PREFIX, token_digest
from gateway.config.models.forms import has_jwt_form, is_bearer_token

__all__ = ["hash_token"]

_LEAST_CHARACTERS: Final = 16
_MOST_CHARACTERS: Final = 4096
_RANDOM_BYTES: Final = 32


def hash_token(
    generate: Annotated[
        bool, typer.Option("--generate", help="Make a token of 256 random bits, and print it, once.")
    ] = False,
) -> None:
    """Print the line for gateway.yaml that stands for a token; it is asked for, or read from standard input.

    The hash is a plain SHA-256. It keeps a random token secret, but not a password that somebody made up.
    """
    if generate:
        token = secrets.token_urlsafe(_RANDOM_BYTES)
        out().print(f"token: {token}")
    else:
        token = _read()
        _judge(token)
    out().print(f"hash: {HASH_PREFIX}{token_digest(token).hex()}")


def _read() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("token", hide_input=True, confirmation_prompt=True, err=True))
    # What is not ASCII is refused next, so that its encoding does not matter.
    given = sys.stdin.buffer.read(_MOST_CHARACTERS + 2).decode("latin-1")
    return given.removesuffix("\n").removesuffix("\r")


def _judge(token: str) -> None:
    """Refuse what is no token, or none that a fast hash protects; nothing of it is shown."""
    if len(token) < _LEAST_CHARACTERS:
        fail(
            f"token too short: {len(token)} characters, at least {_LEAST_CHARACTERS}, or its hash would tell "
            "it; --generate makes a good one"
        )
    if len(token) > _MOST_CHARACTERS:
        fail(f"token too long, limit {_MOST_CHARACTERS} characters")
    if not is_bearer_token(token):
        fail("token has a character that no authorization header can carry (rfc 6750 section 2.1)")
    if has_jwt_form(token):
        fail("token has the form of a jwt, which the way token leaves to the way jwt")
