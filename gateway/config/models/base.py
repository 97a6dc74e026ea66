"""What the models of `gateway.yaml` share: the base class, strict types, and how a rule refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from gateway.config.showing import show

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from pydantic import ValidationInfo

FINDING = "gateway_finding"
"""Type of the pydantic errors that the rules of this room raise: their context is a `Finding`'s parts."""

DAY = 86_400
"""Seconds of a day: the most that a time limit may be, since some event loops overflow far above it."""


class ConfigModel(BaseModel):
    """A section of `gateway.yaml`: frozen, unknown keys refused, input kept out of pydantic's own texts."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's verdict on one value.

    Args:
        path: Where the value stands, from the model that the rule belongs to.
        fact: What is wrong, in lower case, without the value.
        value: The offending text, kept apart so that it can be left out of the rendering where it is a secret
            or came from the environment. None: the fact says all.
        more: What follows the value, such as a limit, with its leading comma.
        advice: What would mend it, where that is likely. Default: none.
    """

    path: tuple[str | int, ...]
    fact: str
    value: str | int | None = None
    more: str = ""
    advice: str | None = None

    def error(self) -> PydanticCustomError:
        """Build the pydantic error that carries this finding's parts as its context."""
        text = self.fact if self.value is None else f"{self.fact}: {show(self.value)}"
        context = {
            "text": text + self.more,
            "fact": self.fact,
            "value": self.value,
            "more": self.more,
        }
        if self.advice is not None:
            context["advice"] = self.advice
        return PydanticCustomError(FINDING, "{text}", context)


def refusal(fact: str, value: str | int | None = None, more: str = "") -> PydanticCustomError:
    """Build the error with which a validator of one value refuses it."""
    return Finding((), fact, value, more).error()


def raise_findings(title: str, findings: Sequence[Finding]) -> None:
    """Raise the findings as one error, each at its own place; do nothing when there are none.

    Raises:
        ValidationError: There is at least one finding.
    """
    if findings:
        _raise_located(title, findings)


def _raise_located(title: str, findings: Sequence[Finding]) -> NoReturn:
    lines = [InitErrorDetails(type=one.error(), loc=one.path, input=None) for one in findings]
    raise ValidationError.from_exception_data(title, lines, hide_input=True)


def _refuse_repeats(entries: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    repeated = [
        Finding((index,), "entry repeated", str(entry))
        for index, entry in enumerate(entries)
        if entry in entries[:index]
    ]
    raise_findings("entries", repeated)
    return entries


def _empty_when_null(value: Any) -> Any:
    # A section whose lines are all commented out reads as null in YAML; its owner meant "nothing set".
    return {} if value is None else value


def _is_path(value: Any) -> Any:
    if isinstance(value, str):
        if not value:
            raise refusal("path is empty")
        if value.startswith("~"):
            raise refusal("path begins with '~', which only a shell expands", value)
    return value


def _from_folder(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None else folder / path


WholeNumber = Annotated[int, Strict()]
"""An `int` and nothing that merely looks like one: neither `true` nor a quoted number."""

Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
"""A finite `int` or `float`."""

Flag = Annotated[bool, Strict()]
"""`true` or `false`, not 0, 1 or a quoted word."""

Name = Annotated[str, Field(min_length=1)]
"""A text of at least one character."""

LocalPath = Annotated[Path, BeforeValidator(_is_path), AfterValidator(_from_folder)]
"""A path of this machine; a relative one begins in the context's `folder`, that of the file."""

UNIQUE = AfterValidator(_refuse_repeats)
"""Marks a list whose entries must all differ."""

EMPTY_WHEN_NULL = BeforeValidator(_empty_when_null)
"""Marks a mapping for which `key:` with nothing behind it means an empty one."""
