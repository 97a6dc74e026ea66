"""Tests of the base class of the ways to authenticate."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Authenticator, Options


class Realm(Options):
    """Options of a way."""

    name: str = "here"


def test_the_options_model_is_the_argument_of_the_base() -> None:
    """A way's options are validated by the model that its base names, also through inheritance."""

    class Way(Authenticator[Realm]): ...

    class Derived(Way): ...

    class Plain(Authenticator): ...

    assert Way.options_model is Realm
    assert Derived.options_model is Realm
    assert Plain.options_model is Options
    assert Way(Realm(name="there")).options.name == "there"


def test_a_base_that_names_no_options_is_refused() -> None:
    """A way whose options could not be judged is an error where its class is made."""
    wrong: Any = int
    with pytest.raises(TypeError, match="options model of Way is <class 'int'>"):

        class Way(Authenticator[wrong]): ...


def test_a_way_that_does_not_authenticate_says_so() -> None:
    """A way without its one method fails, so that no one is let in by mistake."""

    class Way(Authenticator): ...

    opening: Any = None
    with pytest.raises(TypeError, match="Way does not implement authenticate"):
        Way(Options()).authenticate(opening)
