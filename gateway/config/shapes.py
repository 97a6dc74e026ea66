"""What a pydantic model expects at a path, found by walking its annotations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import Secret, SecretBytes, SecretStr

from gateway.config.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from gateway.config.problems import Path


def keys_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Return the keys that a model knows at a path; empty where it takes any or none."""
    return tuple(key for annotation in _at(model, path) for key in _fields_by_key(annotation))


def is_secret(model: type[BaseModel], path: Path) -> bool:
    """Tell whether the value at a path is, lies in or may be a pydantic secret."""
    return any(
        isinstance(annotation, type) and issubclass(annotation, (SecretStr, SecretBytes, Secret))
        for length in range(len(path) + 1)
        for annotation in _at(model, path[:length])
    )


def words_at(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """Return the texts that a model takes at a path where it takes only certain ones; else nothing."""
    words: list[Any] = []
    for annotation in _at(model, path):
        if get_origin(annotation) is Literal:
            words += get_args(annotation)
        elif isinstance(annotation, type) and issubclass(annotation, Enum):
            words += [member.value for member in annotation]
    return tuple(word for word in words if isinstance(word, str))


def hint_for_key(model: type[BaseModel], path: Path, present: Collection[str]) -> str | None:
    """Return the key that an unknown one was probably meant to be.

    Args:
        model: The model of the root.
        path: The place of the unknown key.
        present: The keys that stand beside it, and so are not missing.

    Returns:
        A key of the same place; else the key of a section of that place, as `listen.port` for a stray `port`;
        None when nothing is close.
    """
    around, word = path[:-1], str(path[-1])
    # One member of a union may know the very word that another does not.
    known = tuple(key for key in keys_at(model, around) if key != word)
    # A key that is still missing is the likelier meaning.
    close = did_you_mean(word, (key for key in known if key not in present)) or did_you_mean(word, known)
    if close is not None:
        return close
    for section in known:
        if word in keys_at(model, (*around, section)):
            return f"{section}.{word}"
    return None


def _at(model: type[BaseModel], path: Path) -> tuple[Any, ...]:
    annotations = tuple(_alternatives(model))
    for piece in path:
        annotations = tuple(
            alternative
            for annotation in annotations
            for below in _below(annotation, piece)
            for alternative in _alternatives(below)
        )
    return annotations


def _below(annotation: Any, piece: str | int) -> Iterable[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if isinstance(piece, str):
        field = _fields_by_key(annotation).get(piece)
        if field is not None:
            return [field.annotation]
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return arguments[1:2]
        return []
    if origin is tuple and Ellipsis not in arguments:
        return arguments[piece : piece + 1]
    is_list = isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, Mapping)
    return arguments[:1] if is_list else []


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield an annotation without what wraps it: each member of a union, the target of an alias."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin is Union or origin is UnionType:
        for member in get_args(annotation):
            yield from _alternatives(member)
    else:
        is_root_model = getattr(annotation, "__pydantic_root_model__", False)
        fields = _fields(annotation)
        if is_root_model and "root" in fields:
            yield from _alternatives(fields["root"].annotation)
        else:
            yield annotation


def _fields(annotation: Any) -> dict[str, FieldInfo]:
    # Models and pydantic's dataclasses both keep their fields under this name.
    fields = getattr(annotation, "__pydantic_fields__", None) if isinstance(annotation, type) else None
    return fields if isinstance(fields, dict) else {}


def _fields_by_key(annotation: Any) -> dict[str, FieldInfo]:
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name: field
        for name, field in _fields(annotation).items()
    }
