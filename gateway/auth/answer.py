"""The answer of the service that the way `forward` asks: an identity in JSON."""

from __future__ import annotations

import time
from typing import Annotated, Any, Self

import pydantic
from pydantic import Field
from pydantic_core import from_json

from gateway.core.identity import Identity
from gateway.protocol.refusals import refuse

__all__ = ["read_answer"]

# No control characters: it becomes part of log lines and of groups' names.
Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Answer(pydantic.BaseModel):
    """The body. A misspelt end must not be taken for none, so that unknown keys are refused."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    user: Name
    claims: dict[str, Any] = Field(default_factory=dict)
    groups: list[Name] = Field(default_factory=list, max_length=1000)
    expires_at: Seconds | None = None
    expires_in_seconds: Seconds | None = None
    token_id: Name | None = None
    issued_at: Seconds | None = None

    @pydantic.model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.expires_at is not None and self.expires_in_seconds is not None:
            raise ValueError("two ends")
        return self


def read_answer(body: bytes) -> Identity:
    """Make an identity of an answer's body. It may have ended already.

    Raises:
        Refused: `auth_unavailable`, if it is none.
    """
    try:
        answer = _Answer.model_validate(from_json(body, allow_inf_nan=False))
    except ValueError:  # a ValidationError is one too, and its text would repeat the answer
        raise refuse("auth_unavailable", "the service's answer is no identity") from None
    now = time.time()
    ends = answer.expires_at
    if answer.expires_in_seconds is not None:
        ends = now + answer.expires_in_seconds
    return Identity(
        answer.user,
        answer.claims,
        expires_at=ends,
        proved_by="forward",
        groups=tuple(answer.groups),
        token_id=answer.token_id,
        issued_at=answer.issued_at if answer.issued_at is not None else now,
    )
