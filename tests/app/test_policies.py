"""Tests of what holds for a group by its name."""

from __future__ import annotations

import pytest

from gateway.app.policies import Policies
from gateway.config import GroupPolicy, Overflow
from gateway.core.groups import ADMIN, EVERYONE, user_group

ALL = {"pattern": "*", "history": {}, "presence": True, "overflow": "drop_oldest"}


@pytest.mark.parametrize("group", [EVERYONE, user_group("ann")])
def test_a_star_means_no_group_of_the_gateways_own(group: str) -> None:
    """Of the gateway's own groups `*` sets what happens at a full send queue, and not history or presence."""
    policies = Policies([GroupPolicy.model_validate(ALL)])
    assert policies.history("room") is not None
    assert policies.presence("room") is not None
    assert policies.history(group) is policies.presence(group) is None
    assert policies.overflow(group) is Overflow.DROP_OLDEST


def test_no_policy_is_for_the_group_of_operators() -> None:
    """Whatever a pattern says, what operators are told is as it is."""
    policies = Policies([GroupPolicy.model_validate(ALL)])
    assert policies.of(ADMIN) is policies.history(ADMIN) is policies.overflow(ADMIN) is None
