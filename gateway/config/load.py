"""`gateway.yaml` to a `GatewayConfig`, or every reason why not, each with its line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.config.judge import Judge
from gateway.config.models import GatewayConfig
from gateway.config.problems import ConfigError, Path, Problem, Severity, in_order
from gateway.config.reading import read
from gateway.config.salvage import salvaged_findings
from gateway.config.showing import show, show_variables
from gateway.config.syntax import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config.marks import Marks

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Draft:
    """What was read from a file, good or not, together with where each part of it is written.

    Args:
        marks: The positions of its keys and values.
        data: The plain data, values from the environment filled in. It holds secrets.
        bad: The places of what is known to be wrong.
        folder: Where the relative paths in it begin, those of plugins' options too.
    """

    marks: Marks
    data: Any
    bad: frozenset[Path]
    folder: FilePath

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.marks.file!r})"

    @property
    def file(self) -> str:
        """The file's name, as it was given."""
        return self.marks.file

    def place(self, path: Path) -> Path:
        """Give the place in the file of a value that stands at a path of the configuration: the same here."""
        return path

    def problem(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        severity: Severity = Severity.ERROR,
        advice: str | None = None,
    ) -> Problem:
        """Make a problem that points at a value, or at the nearest thing around it in the file.

        Args:
            path: The path of the value, as `("routes", 0, "handlers", 1, "name")`.
            message: What is wrong, in lower case and without a secret in it.
            hint: The word that was probably meant. Default: none.
            severity: How bad it is. Default: an error.
            advice: What would mend it, where no single word does. Default: none.
        """
        place = self.place(path)
        return Problem(self.file, *self.marks.of_value(place), place, message, hint, severity, advice)

    def problem_at_key(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """Make a problem that points at a key rather than at its value; otherwise as `problem`."""
        place = self.place(path)
        return Problem(self.file, *self.marks.of_key(place), place, message, hint)

    def show(self, path: Path, value: Any) -> str:
        """Return what a message may say for a value: itself if short, or the variable that it came from."""
        variables = self.marks.variables.get(self.place(path))
        return show(value) if variables is None else show_variables(variables, value)


@dataclass(frozen=True, repr=False)
class Loaded(Draft):
    """A valid configuration together with where each part of it is written.

    Args:
        config: The configuration.
    """

    config: GatewayConfig


def load_config(
    path: str | FilePath,
    environ: Mapping[str, str] = os.environ,
    text: str | None = None,
    folder: FilePath | None = None,
) -> Loaded:
    """Read and validate a configuration file.

    Handlers, ways to authenticate, plugins and their options are not checked here: which there are is known
    only to the plugins. Nor are certificates; `check_certificates` does.

    Args:
        path: The YAML file.
        environ: The environment from which `${NAME}` takes its values. Default: the process's own.
        text: What the file said when somebody else read it. The default, `None`, reads it now.
        folder: Where the relative paths in it begin. Default, `None`: the file's folder.

    Raises:
        ConfigError: The file cannot be used. It carries every problem, in the order of their lines, and
            what could be read.
    """
    reading = read(read_text(path) if text is None else text, str(path), environ)
    problems = list(reading.problems)
    data = {} if reading.data is None and not problems else reading.data
    judge = Judge(GatewayConfig, data, (), reading.marks, reading.broken)
    folder = FilePath(path).parent if folder is None else folder
    try:
        told = reading.without_guesses() if problems else data
        config = GatewayConfig.model_validate(told, context={"folder": folder})
    except ValidationError as error:
        problems += judge.problems(error)
        bad = reading.broken | {problem.path for problem in problems}
        problems += [judge.problem_of_finding(finding) for finding in salvaged_findings(data, bad)]
        raise ConfigError(in_order(problems), Draft(reading.marks, data, frozenset(bad), folder)) from None
    if problems:
        raise ConfigError(in_order(problems), Draft(reading.marks, data, frozenset(reading.broken), folder))
    return Loaded(reading.marks, data, frozenset(), folder, config)


def validate_options(draft: Draft, path: Path, model: type[M], data: Any) -> tuple[M | None, list[Problem]]:
    """Validate the options of a handler or plugin against its model.

    Args:
        draft: The configuration that the options stand in.
        path: Where they stand, as `("plugins", "live", "options")`.
        model: The plugin's model.
        data: The options as they came out of the configuration.

    Returns:
        The options and no problem, or None and every problem, in the order of their lines.
    """
    try:
        return model.model_validate(data, context={"folder": draft.folder}), []
    except ValidationError as error:
        unread = frozenset(one for one in draft.bad if one[: len(path)] == path)
        judge = Judge(model, data, path, draft.marks, unread)
        return None, list(in_order(judge.problems(error)))
    except Exception as error:  # noqa: BLE001  (a plugin's validator may raise anything)
        # Its text may hold a value that must not be shown; its type says enough to find it.
        message = f"options model {model.__qualname__} of {model.__module__} raised {type(error).__name__}"
        return None, [draft.problem(path, message)]
