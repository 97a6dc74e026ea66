from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from gateway.config import ConfigError, ListenConfig, load_config, validate_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Loaded


class Inner(BaseModel):
    """Options inside others."""

    model_config = ConfigDict(extra="forbid")
    size: int


class Options(BaseModel):
    """Options of an imagined plugin."""

    model_config = ConfigDict(extra="forbid")

    interval: Annotated[float, Field(gt=0)] = 1
    either: int | Inner | None = None
    many: dict[str, Inner] = {}
    sizes: list[Annotated[int, Field(multiple_of=5)]] = Field(default=[], max_length=2)
    address: str = "x"
    limited: Annotated[str, Field(max_length=3, pattern="^a")] = "a"
    secret: SecretStr | None = None
    keyed: dict[Annotated[str, Field(min_length=2)], int] = {}

    @field_validator("address")
    @classmethod
    def _no_spaces(cls, value: str) -> str:
        if " " in value:
            raise ValueError(f"Address {value!r} has a space.")
        if value == "bad":
            raise AssertionError("Address is bad")
        return value

    @model_validator(mode="after")
    def _together(self) -> Options:
        if self.secret is not None and self.interval > 10:
            raise ValueError(f"Interval too long with {self.secret.get_secret_value()}")
        return self


def lines(load: Callable[..., Loaded], options: str, environ: dict[str, str] | None = None) -> list[str]:
    """Return what is wrong with the options of a plugin `p`, each line without the file's name."""
    loaded = load("plugins:\n  p:\n    options: # here\n" + options, environ)
    path = ("plugins", "p", "options")
    made, problems = validate_options(loaded, path, Options, loaded.config.plugins["p"].options)
    assert (made is None) is bool(problems)
    return [str(problem).removeprefix("gateway.yaml:") for problem in problems]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("      interval: 0", "4:17: plugins.p.options.interval: too small: 0, must be above 0"),
        ("      intervall: 1", "4:7: plugins.p.options.intervall: unknown key (did you mean 'interval'?)"),
        ("      size: 1", "4:7: plugins.p.options.size: unknown key (did you mean 'sizes'?)"),
        ("      many: {a: {}}", "4:17: plugins.p.options.many.a.size: missing"),
        (
            "      many: {a: {siz: 1, size: 1}}",
            "4:18: plugins.p.options.many.a.siz: unknown key (did you mean 'size'?)",
        ),
        ("      sizes: [5, 7]", "4:18: plugins.p.options.sizes[1]: not a multiple of 5: 7"),
        ("      sizes: [5, 5, 5]", "4:14: plugins.p.options.sizes: too many entries: 3, at most 2"),
        ("      address: a b", "4:16: plugins.p.options.address: address 'a b' has a space"),
        ("      address: bad", "4:16: plugins.p.options.address: address is bad"),
        ("      limited: abcd", "4:16: plugins.p.options.limited: too long: 'abcd', at most 3 characters"),
        ("      limited: b", "4:16: plugins.p.options.limited: not of the form ^a: 'b'"),
        ("      keyed: {a: 1}", "4:15: plugins.p.options.keyed.a: too short: 'a', at least 2 characters"),
        ("      {secret: 12}", "4:16: plugins.p.options.secret: not a text, put it in quotes"),
        ("      {secret: hush, interval: 11}", "4:7: plugins.p.options: refused by its own check: a mapping"),
    ],
)
def test_options(load: Callable[..., Loaded], options: str, line: str) -> None:
    """Each error of a plugin's options stands at its line, in the room's words, without secrets."""
    assert lines(load, options) == [line]


def test_members_of_a_union_are_no_part_of_the_path(load: Callable[..., Loaded]) -> None:
    """Pydantic's errors of a union's members all point at the value that fits none."""
    assert lines(load, "      either: {sise: 1}") == [
        "4:15: plugins.p.options.either: not a whole number: a mapping",
        "4:15: plugins.p.options.either.size: missing",
        "4:16: plugins.p.options.either.sise: unknown key (did you mean 'size'?)",
    ]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ("      interval: ${X}", "4:17: plugins.p.options.interval: not a number: the value of $X (a text)"),
        (
            "      address: ${X}",
            "4:16: plugins.p.options.address: refused by its own check: the value of $X (a text)",
        ),
        (
            "      limited: 'a${X}'",
            "4:16: plugins.p.options.limited: too long: the value of $X (a text), at most 3 characters",
        ),
    ],
)
def test_values_from_the_environment_are_not_shown(
    load: Callable[..., Loaded], options: str, line: str
) -> None:
    """An error about a value from the environment names the variable, whoever words it."""
    assert lines(load, options, {"X": "hush hush"}) == [line]


def test_good_options(load: Callable[..., Loaded]) -> None:
    """Options that fit come back as the model."""
    loaded = load("plugins: {p: {options: {interval: 3}}}")
    made, problems = validate_options(loaded, ("plugins", "p", "options"), Options, {"interval": 3})
    assert made == Options(interval=3)
    assert problems == []


def test_missing_options_point_at_what_is_there(load: Callable[..., Loaded]) -> None:
    """Where options are not written at all the nearest line around them is told."""
    loaded = load("routes:\n  - path: /\n    handlers:\n      - echo")
    _, problems = validate_options(loaded, ("routes", 0, "handlers", 0, "options"), Inner, {})
    assert [str(problem) for problem in problems] == [
        "gateway.yaml:4:9: routes[0].handlers[0].options.size: missing",
    ]


def test_options_model_that_fails(load: Callable[..., Loaded]) -> None:
    """A validator that raises something else is a problem of its line, without its text."""

    class Failing(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _fail(cls, value: Any) -> Any:
            raise KeyError(value["password"])

    loaded = load("plugins:\n  p:\n    options: {password: hush}")
    made, problems = validate_options(loaded, ("plugins", "p", "options"), Failing, {"password": "hush"})
    assert made is None
    (problem,) = problems
    assert (problem.line, problem.column) == (3, 14)
    assert problem.message.endswith("Failing of " + __name__ + " raised KeyError")
    assert "hush" not in str(problem)


def test_options_are_told_the_folder(load: Callable[..., Loaded]) -> None:
    """A plugin's model can take relative paths from where the gateway's own begin."""
    seen: list[Any] = []

    class Curious(BaseModel):
        @model_validator(mode="before")
        @classmethod
        def _look(cls, value: Any, info: Any) -> Any:
            seen.append(info.context["folder"])
            return value

    validate_options(load(""), (), Curious, {})
    validate_options(load_config("gateway.yaml", folder=Path("/elsewhere")), (), Curious, {})
    assert [str(folder) for folder in seen] == [".", "/elsewhere"]


def test_plain_pydantic_texts_hide_input() -> None:
    """Even a validation error printed by accident does not show the input."""
    with pytest.raises(ValidationError) as caught:
        ListenConfig.model_validate({"host": 123456})
    assert "123456" not in str(caught.value)


def test_options_that_could_not_be_read(load: Callable[..., Loaded]) -> None:
    """An option whose variable is not set is told once, not again as the null that stands there."""
    with pytest.raises(ConfigError) as caught:
        load("plugins: {p: {options: {interval: '${UNSET}', other: 3}}}")
    draft = caught.value.draft
    assert draft is not None
    place = ("plugins", "p", "options")
    _, problems = validate_options(draft, place, Options, draft.data["plugins"]["p"]["options"])
    assert [problem.path[-1] for problem in problems] == ["other"]
