"""YAML nodes to plain data with marks: aliases, merge keys, tags and values from the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from gateway.config.environment import Substitution, has_lone_surrogate, substitute
from gateway.config.marks import START, Marks, Position, Reading
from gateway.config.problems import ConfigError, Problem
from gateway.config.syntax import MAX_DEPTH, Loader, compose

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.problems import Path

MAX_VALUES = 100_000
"""Most keys and values once aliases are expanded: a few nested aliases could otherwise fill the memory."""

# Python refuses to print an integer of thousands of digits, and with it every error about one.
_MOST_BITS = 63
_TAG = "tag:yaml.org,2002:"
_MERGE, _NULL, _STR, _MAP, _SEQ = (_TAG + name for name in ("merge", "null", "str", "map", "seq"))
# `=` and `<<` have tags of their own in YAML 1.1; as values they are texts like any other.
_TEXTS = frozenset({_STR, _MERGE, _TAG + "value"})


def read(text: str, file: str, environ: Mapping[str, str]) -> Reading:
    """Read a configuration's text into plain data with marks.

    Args:
        text: The YAML text. An empty one reads as None.
        file: The file's name, for the problems.
        environ: The environment, by name.

    Raises:
        ConfigError: The text is not YAML, or it grows beyond all bounds once its aliases are expanded.
    """
    node, loader = compose(text, file)
    reader = _Reader(file, loader, environ)
    data = None if node is None else reader.value(node, ())
    marks = Marks(file, reader.keys, reader.values, reader.variables)
    return Reading(data, marks, reader.problems, frozenset(reader.broken))


class _Reader:
    """The state of one expansion."""

    def __init__(self, file: str, loader: Loader, environ: Mapping[str, str]) -> None:
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.variables: dict[Path, tuple[str, ...]] = {}
        self.problems: list[Problem] = []
        self.broken: set[Path] = set()
        self._file = file
        self._loader = loader
        self._environ = environ
        self._count = 0
        self._open: list[yaml.Node] = []
        # An alias repeats its node; filled in once, a long text is not copied for every repetition.
        self._filled_in: dict[int, Substitution] = {}
        self._constructors = {
            _TAG + "bool": loader.construct_yaml_bool,
            _TAG + "int": loader.construct_yaml_int,
            _TAG + "float": loader.construct_yaml_float,
        }

    def value(self, node: yaml.Node, path: Path) -> Any:
        """Return a node's plain data and note where it stands."""
        self._enter(node, path)
        self.values[path] = _position(node)
        try:
            if any(node is around for around in self._open[:-1]):
                return self._broken(node, path, "alias stands inside the value that it refers to")
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, path)
            if node.tag not in {_MAP, _SEQ}:
                return self._broken(node, path, _foreign_tag(node))
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.value(entry, (*path, index)) for index, entry in enumerate(node.value)]
        finally:
            self._open.pop()

    def _enter(self, node: yaml.Node, path: Path) -> None:
        self._count += 1
        if self._count > MAX_VALUES:
            message = f"too many values once aliases are expanded, limit {MAX_VALUES}"
            raise ConfigError([Problem(self._file, *_position(node), path, message)])
        if len(self._open) >= 2 * MAX_DEPTH:
            message = f"nested too deeply once aliases are expanded, limit {2 * MAX_DEPTH}"
            raise ConfigError([Problem(self._file, *_position(node), path, message)])
        self._open.append(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key, (key_node, value_node) in self._pairs(node, path).items():
            below = (*path, key)
            self.keys[below] = _position(key_node)
            data[key] = self.value(value_node, below)
        return data

    def _pairs(self, node: yaml.MappingNode, path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for key, pair in self._merge(value_node, path).items():
                    merged.setdefault(key, pair)
                continue
            name = self._key(key_node, path)
            if name is None:
                continue
            self._count += 1
            if name in own:
                first = _position(own[name][0])
                self._broken(key_node, (*path, name), f"key repeated, first written at line {first.line}")
            else:
                own[name] = (key_node, value_node)
        return merged | own

    def _merge(self, node: yaml.Node, path: Path) -> dict[str, tuple[yaml.Node, yaml.Node]]:
        self._enter(node, path)
        try:
            if any(node is around for around in self._open[:-1]):
                self._problem(node, path, "alias stands inside the value that it refers to")
                return {}
            if isinstance(node, yaml.MappingNode):
                pairs = self._pairs(node, path)
                self._count += len(pairs)
                return pairs
            if isinstance(node, yaml.SequenceNode):
                merged: dict[str, tuple[yaml.Node, yaml.Node]] = {}
                for entry in node.value:
                    merged = self._merge(entry, path) | merged
                return merged
            self._problem(node, path, "merge key '<<' takes a mapping or a list of mappings")
            return {}
        finally:
            self._open.pop()

    def _key(self, node: yaml.Node, path: Path) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._problem(node, path, "key is not a text")
        elif node.tag == _NULL:
            self._problem(node, path, "key is empty")
        elif node.tag not in _TEXTS and node.tag not in self._constructors:
            self._problem(node, path, _foreign_tag(node))
        elif has_lone_surrogate(node.value):
            self._problem(node, path, "key has half of a surrogate pair")
        else:
            # `on`, `8000` and `1.0` are names where a key stands, whatever they would be as values.
            return str(node.value)
        return None

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if node.tag not in _TEXTS and node.tag not in self._constructors and node.tag != _NULL:
            return self._broken(node, path, _foreign_tag(node))
        filled_in = self._filled_in.get(id(node))
        if filled_in is None:
            filled_in = self._filled_in[id(node)] = substitute(node.value, self._environ)
        refused = _refused(filled_in)
        if refused:
            for message in refused:
                self._broken(node, path, message)
            return None
        if filled_in.variables:
            self.variables[path] = filled_in.variables
        tag = node.tag
        if filled_in.whole and node.style is None and tag == _STR:
            tag = self._loader.resolve(yaml.ScalarNode, filled_in.text, (True, False))  # type: ignore[no-untyped-call]
        return self._construct(node, tag, filled_in.text, path)

    def _construct(self, node: yaml.ScalarNode, tag: str, text: str, path: Path) -> Any:
        if tag == _NULL:
            return None
        if tag in self._constructors:
            try:
                value = self._constructors[tag](yaml.ScalarNode(tag, text))
            except (ValueError, KeyError, IndexError, OverflowError):
                message = f"value does not fit its yaml type {tag.removeprefix(_TAG)!r}"
                return self._broken(node, path, message)
            if isinstance(value, int) and value.bit_length() > _MOST_BITS:
                return self._broken(node, path, f"whole number too large, limit {_MOST_BITS} bits and a sign")
            return value
        return text

    def _broken(self, node: yaml.Node, path: Path, message: str) -> None:
        self.broken.add(path)
        self._problem(node, path, message)

    def _problem(self, node: yaml.Node, path: Path, message: str) -> None:
        self.problems.append(Problem(self._file, *_position(node), path, message))


def _refused(filled_in: Substitution) -> list[str]:
    refused = [f"environment variable not set: {name}" for name in filled_in.unset]
    refused += [f"environment variable is not utf-8: {name}" for name in filled_in.undecodable]
    if filled_in.malformed:
        refused.append("'${' begins neither ${NAME} nor ${NAME:-default}; $${ stands for itself")
    if not refused and has_lone_surrogate(filled_in.text):
        refused.append("text has half of a surrogate pair")
    return refused


def _foreign_tag(node: yaml.Node) -> str:
    tag = f"!!{node.tag.removeprefix(_TAG)}" if node.tag.startswith(_TAG) else node.tag
    return f"tag not allowed: {tag!r}"


def _position(node: yaml.Node) -> Position:
    mark = node.start_mark
    return START if mark is None else Position(mark.line + 1, mark.column + 1)
