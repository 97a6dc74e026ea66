"""Tests of what secrets share, at every key that signs."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.models import ResumeConfig, SignedCookieConfig, TicketWayConfig

TICKET: dict[str, Any] = {"authenticate": ["token"]}

# Each key that holds a secret which signs: its model, how it is given there, and whether it has to be.
SIGNING = [
    pytest.param(TicketWayConfig, lambda one: TICKET | {"secret": one}, True, id="ticket"),
    pytest.param(SignedCookieConfig, lambda one: {"secrets": [one]}, True, id="cookie"),
    pytest.param(ResumeConfig, lambda one: {"key": one}, False, id="resume"),
]


@pytest.mark.parametrize(("model", "given", "needed"), SIGNING)
def test_length(model: Any, given: Any, needed: bool) -> None:
    """32 bytes are enough, counted in UTF-8; less is refused in the same words at each key, and not shown."""
    for good in ("k" * 32, "é" * 16):
        assert model.model_validate(given(good))
    for bad, size in (("é", 2), ("é" * 15 + "k", 31)):
        with pytest.raises(ValidationError) as caught:
            model.model_validate(given(bad))
        assert caught.value.errors()[0]["msg"] == f"secret too short: {size} bytes, at least 32 bytes"
        assert "é" not in str(caught.value)
    if needed:
        with pytest.raises(ValidationError, match="secret too short: 0 bytes, at least 32 bytes"):
            model.model_validate(given(""))


def test_none() -> None:
    """A variable that is unset stands for no secret, where there need not be one, quoted or not."""
    for empty in ("", None):
        assert ResumeConfig.model_validate({"key": empty}).key.get_secret_value() == ""
        with pytest.raises(ValidationError, match="secret too short: 0 bytes, at least 32 bytes"):
            TicketWayConfig.model_validate(TICKET | {"secret": empty})
