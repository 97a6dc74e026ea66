"""Judging what an entry point names: its hooks must exist, and ask for nothing that they are not given."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from gateway.config import did_you_mean
from gateway.plugin import hookspecs
from gateway.plugin.marker import PROJECT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy

__all__ = ["MAY_WAIT", "judge_value", "one_line"]

MAY_WAIT: Final = frozenset({"gateway_start", "gateway_stop", "gateway_admit"})
"""The hooks that may be `async`."""

_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(inspect.signature(getattr(hookspecs, name)).parameters) for name in hookspecs.__all__
}
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def judge_value(value: object, manager: pluggy.PluginManager) -> list[str]:
    """Judge a plugin's module or object; give what is wrong, each as one line.

    Pluggy would find some of this too, one error at a time and in several lines; a misspelt hook, a
    forgotten marker, a wrapper and an `async` hook that nobody awaits it would let pass.
    """
    if inspect.isclass(value):
        return [f"its entry point names the class {value.__name__}, it must name a module or an object"]
    facts: list[str] = []
    found = False
    for attribute in dir(value):
        options = manager.parse_hookimpl_opts(value, attribute)
        if options is not None:
            found = True
            name = options.get("specname") or attribute
            wrapper = bool(options.get("wrapper") or options.get("hookwrapper"))
            facts += _judge_hook(name, getattr(value, attribute), wrapper=wrapper)
        elif attribute in _ARGUMENTS and callable(getattr(value, attribute, None)):
            found = True
            facts.append(f"hook {attribute} is not marked with @gateway.hookimpl")
    return facts if found else ["it implements no hook"]


def _judge_hook(name: str, function: Callable[..., Any], *, wrapper: bool) -> Iterator[str]:
    known = _ARGUMENTS.get(name)
    if known is None:
        hint = did_you_mean(name, _ARGUMENTS)
        yield f"there is no hook {name}" + (f" (did you mean {hint!r}?)" if hint else "")
        return
    if wrapper:
        yield f"hook {name} is declared as a wrapper, hooks of {PROJECT} are plain"
        return
    if name not in MAY_WAIT and inspect.iscoroutinefunction(function):
        yield f"hook {name} is async, only {', '.join(sorted(MAY_WAIT))} may be"
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in _VARIADIC:
            continue
        if parameter.name not in known:
            yield f"hook {name} has no argument {parameter.name!r}, known: {', '.join(known) or 'none'}"
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            yield f"hook {name} takes {parameter.name!r} by position only, it is given by name"


def one_line(error: BaseException) -> str:
    """Give an error's class and text on one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a plugin's error, which can be such that it has no words
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
