"""Tests of the judging of what an entry point names."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pluggy
import pytest

from gateway import hookimpl
from gateway.plugin import hookspecs
from gateway.plugin.judging import MAY_WAIT, judge_value, one_line

if TYPE_CHECKING:
    from collections.abc import Callable


def judge(*functions: Callable[..., Any]) -> list[str]:
    """Judge a plugin that has the functions as its attributes."""
    value = SimpleNamespace(**{function.__name__: function for function in functions})
    return judge_value(value, pluggy.PluginManager("gateway"))


def test_hooks_with_all_or_fewer_of_their_parameters_are_good() -> None:
    """A plugin is good when it asks for what its hooks are given, or for less."""

    @hookimpl
    def gateway_start(node: Any) -> None: ...

    @hookimpl
    async def gateway_stop() -> None: ...

    @hookimpl
    def gateway_configure(**anything: Any) -> None: ...

    assert judge(gateway_start, gateway_stop, gateway_configure) == []


def test_a_method_of_an_object_is_judged_without_its_self() -> None:
    """An object with marked methods is a plugin like a module with marked functions."""

    class Value:
        @hookimpl
        def gateway_start(self, node: Any) -> None: ...

    assert judge_value(Value(), pluggy.PluginManager("gateway")) == []


def test_a_misspelt_hook_is_named_with_the_one_that_was_meant() -> None:
    """A hook that does not exist is refused, and the nearest one is offered."""

    @hookimpl
    def gateway_strat(node: Any) -> None: ...

    assert judge(gateway_strat) == ["there is no hook gateway_strat (did you mean 'gateway_start'?)"]


def test_an_unknown_hook_with_nothing_near_gets_no_hint() -> None:
    """A hook that resembles none is refused without a guess."""

    @hookimpl
    def shout() -> None: ...

    assert judge(shout) == ["there is no hook shout"]


def test_a_hook_without_its_marker_is_refused() -> None:
    """A function with the name of a hook would never be called without the marker."""

    def gateway_start(node: Any) -> None: ...

    assert judge(gateway_start) == ["hook gateway_start is not marked with @gateway.hookimpl"]


def test_an_unknown_argument_is_named_with_those_that_are_known() -> None:
    """A hook that asks for what it is not given is refused, with a default or without."""

    @hookimpl
    def gateway_start(nod: Any, more: int = 1) -> None: ...

    @hookimpl
    def gateway_handlers(node: Any) -> None: ...

    assert judge(gateway_start, gateway_handlers) == [
        "hook gateway_handlers has no argument 'node', known: none",
        "hook gateway_start has no argument 'nod', known: node",
        "hook gateway_start has no argument 'more', known: node",
    ]


def test_an_argument_by_position_only_is_refused() -> None:
    """Hooks are called with names, which a positional parameter does not take."""

    @hookimpl
    def gateway_start(node: Any, /) -> None: ...

    assert judge(gateway_start) == ["hook gateway_start takes 'node' by position only, it is given by name"]


def test_a_wrapper_is_refused() -> None:
    """A hook that wraps the others of its name is refused, since nothing would run it."""

    @hookimpl(wrapper=True)
    def gateway_start(node: Any) -> Any:
        return (yield)

    assert judge(gateway_start) == ["hook gateway_start is declared as a wrapper, hooks of gateway are plain"]


def test_an_async_hook_that_nobody_awaits_is_refused() -> None:
    """A hook that is asked for a value at check time must be plain."""

    @hookimpl
    async def gateway_options() -> None: ...

    expected = "hook gateway_options is async, only gateway_admit, gateway_start, gateway_stop may be"
    assert judge(gateway_options) == [expected]


def test_a_class_is_refused() -> None:
    """An entry point that names a class, such as the handler itself, is refused: its methods have no self."""

    class Shout:
        @hookimpl
        def gateway_start(self, node: Any) -> None: ...

    facts = judge_value(Shout, pluggy.PluginManager("gateway"))
    assert facts == ["its entry point names the class Shout, it must name a module or an object"]


def test_a_value_without_hooks_is_refused() -> None:
    """A plugin that would never be called is refused."""
    assert judge() == ["it implements no hook"]


def test_a_hook_under_another_name_is_judged_by_the_name_it_says() -> None:
    """A function may say which hook it implements."""

    @hookimpl(specname="gateway_start")
    def begin(node: Any) -> None: ...

    @hookimpl(specname="speak")
    def end(node: Any) -> None: ...

    assert judge(begin, end) == ["there is no hook speak"]


def test_the_hooks_that_may_be_async_say_so() -> None:
    """What a hook's docstring says about `async` is what the judging allows."""
    said = {name for name in hookspecs.__all__ if "may be `async`" in getattr(hookspecs, name).__doc__}
    assert said == MAY_WAIT


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\n  second"), "ValueError: first second"),
        (KeyError("name"), "KeyError: 'name'"),
        (RuntimeError(), "RuntimeError"),
    ],
)
def test_one_line(error: Exception, line: str) -> None:
    """An error's text of several lines becomes one, after the class."""
    assert one_line(error) == line
