"""Hints for options of plugins and handlers that stand beside `options` instead of under it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.config import Draft, Problem
    from gateway.plugin.manager import PluginManager

__all__ = ["with_option_hints"]

_HANDLER_KEY: Final = 5  # as routes, 0, handlers, 1, announce


def with_option_hints(problems: Iterable[Problem], draft: Draft, manager: PluginManager) -> Iterator[Problem]:
    """Give problems as they are, with a hint where an unknown key is the name of an option.

    Args:
        problems: The problems of reading the file.
        draft: What was read.
        manager: The plugins, loaded.
    """
    known: dict[str, dict[str, set[str]]] | None = None
    for problem in problems:
        if problem.message != "unknown key" or problem.hint is not None or len(problem.path) < 3:  # noqa: PLR2004
            yield problem
            continue
        known = _options(manager) if known is None else known
        owner, key = _owner(draft, problem), str(problem.path[-1])
        is_option = owner is not None and key in known[owner[0]].get(owner[1], ())
        yield replace(problem, hint=f"options.{key}") if is_option else problem


def _owner(draft: Draft, problem: Problem) -> tuple[str, str] | None:
    """Give the kind and the name of whose key it is; `None` for somebody else's."""
    section, name, *more = problem.path
    if section == "plugins" and len(more) == 1:
        return "plugins", str(name)
    if section == "routes" and len(problem.path) == _HANDLER_KEY and more[0] == "handlers":
        around: Any = draft.data
        for piece in problem.path[:-1]:
            around = around[piece]
        return "handlers", str(around.get("name"))
    return None


def _options(manager: PluginManager) -> dict[str, dict[str, set[str]]]:
    models = {plugin.name: manager.options_model(plugin) for plugin in manager.plugins}
    handlers = {name: cls.options_model for name, (_, cls) in manager.handlers().items()}
    return {
        "plugins": {name: set(model.model_fields) for name, model in models.items() if model is not None},
        "handlers": {name: set(model.model_fields) for name, model in handlers.items()},
    }
