"""Whose code it is: from a module, a frame or an error to the plugin."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

__all__ = ["Owners", "Place", "frames_of", "frames_that_wait"]

_OURS: Final = "gateway"
_AMBIGUOUS: Final = ""


class Place(NamedTuple):
    """A line of code, and whose it is."""

    plugin: str
    """The plugin's name; empty if it is no plugin's."""
    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Owners:
    """The plugins' modules.

    A plugin has the packages in which its entry point and its classes lie, as long as no other plugin has
    them too: of `acme.greet` and `acme.chat` each has its own, and none has `acme`.
    """

    def __init__(self) -> None:
        self._packages: dict[str, str] = {}
        self._found: dict[str, str] = {}

    def add(self, plugin: str, module: str) -> None:
        """Note that a module is a plugin's."""
        top = module.partition(".")[0]
        if top == _OURS or top in sys.stdlib_module_names:
            return  # a plugin that is made of standard objects, as in tests
        self._found.clear()
        while module:
            taken = self._packages.get(module)
            self._packages[module] = plugin if taken in {None, plugin} else _AMBIGUOUS
            module = module.rpartition(".")[0]

    def plugin_of(self, module: str) -> str:
        """Give the plugin that a module is of; empty if it is none's."""
        found = self._found.get(module)
        if found is None:
            found = self._found[module] = self._find(module)
        return found

    def _find(self, module: str) -> str:
        while module:
            if module in self._packages:
                return self._packages[module]
            module = module.rpartition(".")[0]
        return ""

    def place(self, frame: FrameType) -> Place:
        """Give where a frame is."""
        plugin = self.plugin_of(frame.f_globals.get("__name__") or "")
        code = frame.f_code
        return Place(plugin, code.co_filename, frame.f_lineno or code.co_firstlineno, code.co_qualname)

    def of_waiting(self, coroutine: object) -> Place | None:
        """Give the innermost line of a plugin at which a coroutine waits; `None` if there is none."""
        found = None
        for frame in frames_that_wait(coroutine):
            place = self.place(frame)
            found = place if place.plugin else found
        return found

    def culprit(self, frame: FrameType) -> Place:
        """Give the innermost line of a plugin on a stack; the innermost of all if no plugin is on it."""
        for each in frames_of(frame):
            place = self.place(each)
            if place.plugin:
                return place
        return self.place(frame)


def frames_of(frame: FrameType | None) -> Iterator[FrameType]:
    """Give the frames of a stack, from the innermost one out."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def frames_that_wait(coroutine: Any) -> Iterator[FrameType]:
    """Give the frames of a coroutine that waits, from the outermost one in."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        yield frame
        coroutine = coroutine.cr_await
