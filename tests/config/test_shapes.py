from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, RootModel, SecretStr
from pydantic.dataclasses import dataclass

from gateway.config import GatewayConfig, Overflow
from gateway.config.shapes import hint_for_key, is_secret, keys_at, words_at


class Inner(BaseModel):
    """A section with a word and a secret."""

    word: Literal["one", "two"] | None = None
    password: SecretStr | None = None


class Wrapped(RootModel[list[Inner]]):
    """A list by another name."""


@dataclass
class Plain:
    """A section that is no model."""

    size: int


class Model(BaseModel):
    """Every way in which a section can stand in another."""

    inner: Annotated[Inner | None, Field(description="x")] = None
    many: Sequence[Inner] = ()
    pair: tuple[int, Inner] | None = None
    named: Mapping[str, Inner] = {}
    wrapped: Wrapped | None = None
    plain: Plain | None = None
    other_name: int = Field(default=0, alias="other-name")
    overflow: Overflow | int = 0


@pytest.mark.parametrize(
    "path",
    [("inner",), ("many", 3), ("pair", 1), ("named", "any"), ("wrapped", 0)],
)
def test_keys_at(path: tuple[str | int, ...]) -> None:
    """Keys are found through optional values, lists, tuples, mappings and root models."""
    assert keys_at(Model, path) == ("word", "password")


@pytest.mark.parametrize(
    "path", [("named",), ("many",), ("pair", 0), ("pair", 7), ("nowhere", "x"), (0,), ("inner", "word")]
)
def test_no_keys(path: tuple[str | int, ...]) -> None:
    """Where a model knows no keys there are none, and nothing is raised."""
    assert keys_at(Model, path) == ()


def test_keys_of_dataclass_and_alias() -> None:
    """A dataclass has keys, and a field's alias is its key."""
    assert keys_at(Model, ("plain",)) == ("size",)
    assert "other-name" in keys_at(Model, ())
    assert "other_name" not in keys_at(Model, ())


def test_words_at() -> None:
    """The words of literals and of enumerations are known."""
    assert words_at(Model, ("inner", "word")) == ("one", "two")
    assert words_at(Model, ("overflow",)) == ("disconnect", "drop_oldest", "drop_newest", "conflate")
    assert words_at(Model, ("inner", "password")) == ()


def test_is_secret() -> None:
    """A secret is one wherever it stands, and so is what lies in it."""
    assert is_secret(Model, ("many", 0, "password"))
    assert is_secret(Model, ("many", 0, "password", "x"))
    assert is_secret(GatewayConfig, ("api", "tokens", 0, "token"))
    assert not is_secret(Model, ("many", 0, "word"))


@pytest.mark.parametrize(
    ("path", "present", "hint"),
    [
        (("listen", "prot"), (), "port"),
        (("listen", "prot"), ("port",), "port"),
        (("port",), (), "listen.port"),
        (("rotes",), (), "routes"),
        (("routes", 0, "max_fragments"), (), "limits.max_fragments"),
        (("routes", 0, "allow_origins"), (), "allowed_origins"),
        (("routes", 0, "limits", "zzz"), (), None),
        (("plugins", "live", "option"), (), "options"),
        (("plugins", "live", "options", "x"), (), None),
    ],
)
def test_hint_for_key(path: tuple[str | int, ...], present: tuple[str, ...], hint: str | None) -> None:
    """An unknown key finds its likeliest meaning, here or a section further in."""
    assert hint_for_key(GatewayConfig, path, present) == hint
