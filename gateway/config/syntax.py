"""YAML text to nodes: files, encodings and syntax."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from gateway.config.marks import START, Position
from gateway.config.problems import ConfigError, Problem

if TYPE_CHECKING:
    from typing import NoReturn

MAX_FILE_BYTES = 1_048_576
"""Most bytes of a file: a larger one was not written by hand, and would take many seconds to read."""

MAX_DEPTH = 64
"""Most mappings and lists inside each other, so that no recursion over them runs out of stack."""

TIMESTAMP = "tag:yaml.org,2002:timestamp"


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with two differences: depth has a limit, and dates stay texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (the base class declares it so)
        first: [(tag, pattern) for tag, pattern in resolvers if tag != TIMESTAMP]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        self._depth = 0
        super().__init__(text)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node as the base class does, unless it lies too deep."""
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                event = self.peek_event()  # type: ignore[no-untyped-call]
                raise ComposerError(None, None, f"nested too deeply, limit {MAX_DEPTH}", event.start_mark)
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def read_text(path: str | Path) -> str:
    """Read a file's text.

    Raises:
        ConfigError: The file is missing, cannot be read, is too large or is not UTF-8.
    """
    file = str(path)
    try:
        with Path(path).open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        _refuse(file, START, "file not found")
    except OSError as error:
        _refuse(file, START, f"file cannot be read: {(error.strerror or type(error).__name__).lower()}")
    except ValueError:
        _refuse(file, START, "file name is not valid")
    if len(raw) > MAX_FILE_BYTES:
        _refuse(file, START, f"file too large, limit {MAX_FILE_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", errors="replace")
        byte = raw[error.start]
        _refuse(file, _position_after(before), f"file is not utf-8: byte 0x{byte:02x}")


def compose(text: str, file: str) -> tuple[yaml.Node | None, Loader]:
    """Compose a text's nodes.

    Returns:
        The root node, None for an empty text, and the loader whose rules resolve scalars.

    Raises:
        ConfigError: The text is not YAML, or nested too deeply.
    """
    try:
        loader = Loader(text)
    except ReaderError as error:
        position = _position_after(text[: error.position])
        _refuse(file, position, f"character that yaml does not allow: U+{error.character:04X}")
    try:
        return loader.get_single_node(), loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = START if mark is None else Position(mark.line + 1, mark.column + 1)
        _refuse(file, position, _describe(error, text))
    except (ValueError, OverflowError):
        # PyYAML lets through what int() and chr() say of a version or an escape that is out of range.
        mark = loader.get_mark()
        _refuse(file, Position(mark.line + 1, mark.column + 1), "number out of range in the yaml syntax")


def _describe(error: yaml.MarkedYAMLError, text: str) -> str:
    described = " ".join((error.problem or "not yaml").split()).removeprefix("but ")
    if error.context:
        described += f", {error.context}"
        if error.context_mark is not None:
            described += f" from line {error.context_mark.line + 1}"
    if error.problem_mark is not None:
        lines = text.splitlines()[error.problem_mark.line : error.problem_mark.line + 1]
        if any("${" in line for line in lines):
            described += "; inside [] or {} a ${...} must be in quotes, and is a text then"
    return described


def _position_after(text: str) -> Position:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return Position(len(lines), len(lines[-1]) + 1)


def _refuse(file: str, position: Position, message: str) -> NoReturn:
    raise ConfigError([Problem(file, *position, (), message)])
