"""`gateway new-plugin`: the beginnings of a plugin's distribution."""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.common import fail, out

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

__all__ = ["new_plugin"]

_NORMAL: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST: Final = 64
_SUFFIX: Final = ".tmpl"
_OURS: Final = "gateway-"
_IMPORTED: Final = frozenset({"any", "connection", "field", "handler", "mapping", "options"})
"""Names of which the class would be mixed up with one that the template imports."""
_GENERAL: Final = frozenset(
    {"build", "dist", "handler", "handlers", "plugin", "plugins", "routes", "src", "test", "tests"}
)
"""Names of folders that every project has, and words of gateway.yaml, where they stand for something else."""


def new_plugin(
    name: Annotated[str, typer.Argument(help="Of the distribution, such as acme-greet.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where it is made; it must not be there. Default: NAME, here.")
    ] = None,
) -> None:
    """Make a plugin that works: a typed handler with options, its tests, a README and a gateway.yaml."""
    _judge(name)
    place = Path(name) if folder is None else folder
    handler = name.removeprefix(_OURS)
    words = {
        "distribution": name,
        "package": _package(name),
        "handler": handler,
        "class": _class(handler),
    }
    templates = files("gateway.cli").joinpath("templates", "new_plugin")
    try:
        place.mkdir(parents=True)
        for path, template in _walk(templates):
            file = place / _target(path, words["package"])
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_filled(template.read_text(encoding="utf-8"), words), encoding="utf-8")
    except FileExistsError:
        fail(f"there is already something at {place}")
    except OSError as exc:
        fail(f"cannot make {place}: {(exc.strerror or str(exc)).lower()}")
    console = out()
    console.print(f"made {place}, a plugin with the handler {handler!r}; next:")
    for line in (f"cd {place}", "pip install -e '.[test]'", "pytest", "gateway dev"):
        console.print(f"  {line}")


def _judge(name: str) -> None:
    """Refuse a name that no distribution and no package can have, or that is taken here."""
    normal = re.sub(r"[-_.]+", "-", name).strip("-").lower()
    if not _NORMAL.fullmatch(name) or len(name) > _LONGEST:
        hint = f", try {normal}" if _NORMAL.fullmatch(normal) and len(normal) <= _LONGEST else ""
        fail(
            f"not a name for a distribution: {name!r}: small letters, digits and single hyphens between "
            f"them, at most {_LONGEST} (PEP 503){hint}"
        )
    package = _package(name)
    handler = name.removeprefix(_OURS)
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in (package, handler[:1])):
        fail(f"not a name for a package: {package!r} is no identifier of Python")
    better = f"try acme-{handler}"
    if handler in _IMPORTED:
        clash = f"its class would be mixed up with the gateway's {handler.capitalize()}"
        fail(f"not a name for a plugin: {clash}, {better}")
    if package in _GENERAL:
        fail(f"not a name for a plugin: {package!r} says nothing of it, and most projects have one, {better}")
    for taken in (package, _class(handler)):
        if taken in dir(builtins):
            fail(f"not a name for a plugin: {taken!r} is built into Python, {better}")
    if _is_module(package):
        fail(f"there is already a module {package!r}, which the plugin would be mixed up with, {better}")
    if any(handler == point.name for point in entry_points(group="gateway")):
        fail(f"there is already a plugin {handler!r} installed, {better}")
    if _is_installed(name):
        fail(f"there is already a distribution {name!r} installed, which the plugin would replace, {better}")


def _is_module(name: str) -> bool:
    """Tell whether a module or package can be imported by this name."""
    if name in sys.stdlib_module_names:
        return True
    found = importlib.util.find_spec(name)
    # A folder of this name in the working directory looks like a package too, of no origin.
    return found is not None and (
        found.origin is not None
        or any(Path(place).parent != Path.cwd() for place in found.submodule_search_locations or ())
    )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _class(handler: str) -> str:
    return "".join(word.capitalize() for word in handler.split("-"))


def _package(name: str) -> str:
    return name.replace("-", "_")


def _walk(folder: Traversable, around: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    """Give every template with its path."""
    for entry in folder.iterdir():
        path = (*around, entry.name)
        if entry.is_dir():
            yield from _walk(entry, path)
        elif entry.name.endswith(_SUFFIX):
            yield path, entry


def _target(path: tuple[str, ...], package: str) -> Path:
    """Give the path of the file that a template makes."""
    *folders, name = path
    if folders == ["src"]:
        folders.append(package)
    name = name.removesuffix(_SUFFIX)
    return Path(*folders, f".{name}" if name == "gitignore" else name)


def _filled(text: str, words: dict[str, str]) -> str:
    """Give a template with its words filled in; `@word@` stands for each."""
    return re.sub(r"@([a-z]+)@", lambda match: words[match[1]], text)
