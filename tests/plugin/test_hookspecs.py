"""Tests that every hook is documented and can be implemented."""

from __future__ import annotations

import inspect

import pytest

from gateway.plugin import hookspecs

HOOKS = hookspecs.__all__


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_says_when_it_is_called(name: str) -> None:
    """Each hook has a docstring with a sentence on when it is called, and begins with an imperative."""
    text = inspect.getdoc(getattr(hookspecs, name)) or ""
    assert "Called " in text
    assert not text.split()[0].endswith("s")


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_carries_the_prefix(name: str) -> None:
    """Each hook's name begins with `gateway_`, so that it stands out in a plugin's module."""
    assert name.startswith("gateway_")


def test_no_hook_is_left_out() -> None:
    """Every marked function of the module is named in `__all__`."""
    marked = {name for name, value in vars(hookspecs).items() if hasattr(value, "gateway_spec")}
    assert marked == set(HOOKS)
