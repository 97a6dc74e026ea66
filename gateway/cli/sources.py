"""The files that `gateway dev` watches: the configuration, and the code that may be loaded."""

from __future__ import annotations

import importlib.util
import os
import site
import sys
import sysconfig
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Sources", "loaded_roots", "plugin_roots"]

# What a program is made of. Its data, such as a database beside the code, changes while it runs.
_SUFFIXES: Final = frozenset(
    (".py", ".so", ".pyd", ".html", ".css", ".js", ".mjs", ".svg", ".toml", ".yaml", ".yml")
)
_PASSED_OVER: Final = frozenset(("__pycache__", "node_modules", "site-packages"))

Stamp = tuple[int, int, int]


class Sources:
    """Watched files, with what they were when they were last looked at.

    They are looked at again and again: 400 take 3 ms, and nothing of it depends on the kind of file system,
    on a container's mounts, or on how an editor replaces a file.

    Args:
        config: The configuration file, which need not be there.
    """

    def __init__(self, config: Path) -> None:
        self._roots = {os.fspath(config.absolute())}
        self._stamps = dict(_stamps(self._roots))

    def add(self, roots: Iterable[str]) -> None:
        """Watch files, and folders with all that is in them, from now on."""
        new = set(roots) - self._roots
        self._roots |= new
        for file, stamp in _stamps(new):
            self._stamps.setdefault(file, stamp)

    def changed(self) -> list[str]:
        """Give the files that were changed, made or removed since this was last asked."""
        now = dict(_stamps(self._roots))
        before, self._stamps = self._stamps, now
        return sorted(file for file in before.keys() | now.keys() if before.get(file) != now.get(file))


def plugin_roots() -> list[str]:
    """Give where plugins are installed, and where their code is, without importing it."""
    roots = set(site.getsitepackages())
    for name in {entry_point.module.partition(".")[0] for entry_point in entry_points(group="gateway")}:
        with suppress(Exception):  # whatever is wrong with it is told when it is imported
            spec = importlib.util.find_spec(name)
            if spec is not None:
                roots.update(_roots_of(spec.origin, spec.submodule_search_locations))
    return sorted(roots)


def loaded_roots() -> list[str]:
    """Give where imported code is that is the author's own: not Python's, and not installed."""
    paths = sysconfig.get_paths()
    others = tuple(paths[name] + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    roots: set[str] = set()
    for name, module in tuple(sys.modules.items()):
        if "." not in name and name != "__main__":
            found = _roots_of(getattr(module, "__file__", None), getattr(module, "__path__", None))
            roots.update(root for root in found if not root.startswith(others))
    return sorted(roots)


def _roots_of(origin: str | None, folders: Iterable[str] | None) -> Iterator[str]:
    if folders is not None:
        yield from (folder for folder in folders if Path(folder).is_dir())
    elif origin is not None and Path(origin).is_file():
        yield origin


def _stamps(roots: Iterable[str]) -> Iterator[tuple[str, Stamp]]:
    installed = frozenset(site.getsitepackages())
    for root in roots:
        # Where plugins are installed the folder itself tells of a new one.
        if root not in installed and os.path.isdir(root):  # noqa: PTH112 - hundreds of times a second
            yield from _below(root)
        else:
            with suppress(OSError):
                yield root, _stamp(os.stat(root))  # noqa: PTH116


def _below(folder: str) -> Iterator[tuple[str, Stamp]]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _PASSED_OVER and not entry.name.startswith("."):
                        yield from _below(entry.path)
                elif os.path.splitext(entry.name)[1] in _SUFFIXES:  # noqa: PTH122
                    yield entry.path, _stamp(entry.stat())


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size, found.st_ino
