"""Tests that what plugin authors import is documented."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import gateway

CLASSES = [name for name in gateway.__all__ if inspect.isclass(getattr(gateway, name))]
METHODS = [
    f"{name}.{method}"
    for name in CLASSES
    for method, value in vars(getattr(gateway, name)).items()
    if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
]


def documented(value: Any) -> bool:
    """Tell whether an object has a docstring that is not its parent's."""
    return bool((value.__doc__ or "").strip())


@pytest.mark.parametrize("name", gateway.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    """Each public name has a docstring, or is an object of a class that has one."""
    value = getattr(gateway, name)
    assert documented(value)
    if inspect.isclass(value) and value.__mro__[1] is not object:
        assert value.__doc__ != value.__mro__[1].__doc__


@pytest.mark.parametrize("name", METHODS)
def test_a_public_method_is_documented(name: str) -> None:
    """Each public method and property of a public class has a docstring."""
    owner, method = name.split(".")
    assert documented(vars(getattr(gateway, owner))[method])


def test_the_public_names_are_in_order() -> None:
    """The names are listed once each, as a reader looks for them."""
    assert len(set(gateway.__all__)) == len(gateway.__all__)
    assert all(hasattr(gateway, name) for name in gateway.__all__)
