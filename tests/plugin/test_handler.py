"""Tests of the base class of handlers, and of where their options come from."""

from __future__ import annotations

from typing import Any, Generic

import pydantic
import pytest
from typing_extensions import TypeVar

from gateway import HANDLED, Handler, Options


class Speed(Options):
    """Options of a handler."""

    words_per_minute: int = 100


class Volume(Options):
    """Other options."""

    decibels: int = 60


OptionsType = TypeVar("OptionsType", bound=Options, default=Options)
Other = TypeVar("Other")


def test_the_options_model_is_the_argument_of_the_base() -> None:
    """A handler's options are validated by the model that its base names."""

    class Speaker(Handler[Speed]): ...

    assert Speaker.options_model is Speed
    assert Speaker(Speed(words_per_minute=3)).options.words_per_minute == 3


def test_a_plain_handler_takes_no_options() -> None:
    """A handler without an argument of its base has options without a key."""

    class Speaker(Handler): ...

    class Anyone(Handler[Any]): ...

    assert Speaker.options_model is Options
    assert Anyone.options_model is Options
    with pytest.raises(pydantic.ValidationError, match="Extra inputs are not permitted"):
        Options.model_validate({"speed": 1})


def test_the_options_model_is_inherited() -> None:
    """A handler that derives from another takes the other's options."""

    class Speaker(Handler[Speed]): ...

    class Whisperer(Speaker): ...

    class Mixin: ...

    class Singer(Mixin, Whisperer): ...

    assert Whisperer.options_model is Speed
    assert Singer.options_model is Speed


def test_a_generic_base_of_the_authors_own_passes_the_model_on() -> None:
    """A handler may be generic itself, in its options and in other things."""

    class Base(Handler[OptionsType], Generic[Other, OptionsType]): ...

    class Speaker(Base[int, Speed]): ...

    class Singer(Speaker): ...

    assert Base.options_model is Options
    assert Speaker.options_model is Speed
    assert Singer.options_model is Speed


def test_a_derived_handler_may_name_another_model() -> None:
    """What a class states itself goes before what its parents stated."""

    class Speaker(Handler[Speed]): ...

    class Whisperer(Speaker):
        options_model = Volume

    class Murmurer(Whisperer): ...

    assert Whisperer.options_model is Volume
    assert Murmurer.options_model is Volume


class Loose(pydantic.BaseModel):
    """A model that lets unknown keys pass."""

    words: int = 0


@pytest.mark.parametrize(
    ("named", "text"),
    [
        (int, r"options model of Speaker is <class 'int'>, not a subclass of gateway\.Options"),
        ("Speed", r"options model of Speaker is ForwardRef\('Speed'\), not a subclass of gateway\.Options"),
        (Loose, r"options model Loose of Speaker does not refuse unknown keys, gateway\.Options is the base"),
    ],
)
def test_a_base_that_names_no_options_is_refused(named: Any, text: str) -> None:
    """A handler whose options could not be judged is an error where its class is made."""
    with pytest.raises(TypeError, match=text):

        class Speaker(Handler[named]): ...


def test_an_options_model_that_is_none_is_refused() -> None:
    """An attribute `options_model` is judged like the argument of the base."""
    with pytest.raises(TypeError, match="options model of Speaker is 3"):

        class Speaker(Handler):
            options_model = 3  # type: ignore[assignment]


def test_options_do_not_change() -> None:
    """Options are frozen, so that handlers cannot tell each other things through them."""
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Speed().words_per_minute = 3  # type: ignore[misc]


def test_handled_names_itself() -> None:
    """`HANDLED` is shown by its name."""
    assert repr(HANDLED) == "HANDLED"


async def test_options_reach_the_handler(serve_gateway: Any) -> None:
    """Each place where a route names a handler has an object of its own, with its own options."""

    class Speaker(Handler[Speed]):
        def on_open(self, connection: Any) -> None:
            connection.send(str(self.options.words_per_minute))

    text = """
    routes:
      - path: /speak
        allow_missing_origin: true
        handlers: [speaker, {name: speaker, options: {words_per_minute: 7}}]
    """
    server = await serve_gateway(text, handlers={"speaker": Speaker})
    async with server.connect("/speak") as client:
        assert [await client.recv(), await client.recv()] == ["100", "7"]


async def test_handled_keeps_a_message_from_the_handlers_that_follow(serve_gateway: Any) -> None:
    """A message is handed along the route until a handler returns `HANDLED`, from a plain or async event."""

    class First(Handler):
        def on_message(self, connection: Any, message: str | bytes) -> object:
            connection.send(f"first {message!r}")
            return HANDLED if message == "plain" else "anything else is ignored"

    class Second(Handler):
        async def on_message(self, connection: Any, message: str | bytes) -> object:
            connection.send(f"second {message!r}")
            return HANDLED if message == "async" else None

    class Third(Handler):
        def on_message(self, connection: Any, message: str | bytes) -> None:
            connection.send(f"third {message!r}")

    text = "routes: [{path: /chain, allow_missing_origin: true, handlers: [first, second, third]}]"
    server = await serve_gateway(text, handlers={"first": First, "second": Second, "third": Third})
    async with server.connect("/chain") as client:
        for message in ("plain", "async", "on"):
            await client.send(message)
        received = [await client.recv() for _ in range(6)]
    assert received == [
        "first 'plain'",
        "first 'async'",
        "second 'async'",
        "first 'on'",
        "second 'on'",
        "third 'on'",
    ]
