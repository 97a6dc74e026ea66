"""Tests of `gateway schema`: the schema with the options of installed plugins, and the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]

PLUGIN = """
import gateway


class Loudness(gateway.Options):
    decibels: int = 60


class Shout(gateway.Handler[Loudness]):
    pass


class Guess(gateway.Authenticator[Loudness]):
    pass


@gateway.hookimpl
def gateway_handlers():
    return {"shout": Shout}


@gateway.hookimpl
def gateway_authenticators():
    return {"guess": Guess}


@gateway.hookimpl
def gateway_options():
    return Loudness
"""


def faults(schema: dict[str, Any], text: str) -> list[str]:
    """Give what the schema says of a text."""
    return [fault.message for fault in Draft202012Validator(schema).iter_errors(yaml.safe_load(text))]


def test_options_of_installed_plugins(
    command: Callable[..., subprocess.CompletedProcess[str]], install: Callable[[str, str, str], None]
) -> None:
    """A handler's, a way's and a plugin's options are judged where they stand."""
    install("shout-plugin", "shouting", PLUGIN)
    done = command("schema")
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    for place in (
        "routes: [{path: /a, handlers: [{name: shout, options: OPTIONS}]}]",
        "authentication: {guess: OPTIONS}",
        "plugins: {shouting: {options: OPTIONS}}",
    ):
        assert faults(schema, place.replace("OPTIONS", "{decibels: 3}")) == []
        assert faults(schema, place.replace("OPTIONS", "{decibels: '${LOUD}'}")) == []
        assert faults(schema, place.replace("OPTIONS", "null")) == []
        assert faults(schema, place.replace("OPTIONS", "{decibel: 3}")), place
        assert faults(schema, place.replace("OPTIONS", "{decibels: loud}")), place
    assert faults(schema, "authentication: {gues: {}}")
    assert faults(schema, "routes: [{path: /a, handlers: [shout, {name: unknown, options: {a: 1}}]}]") == []


def test_only_some_plugins(
    inside: Callable[..., subprocess.CompletedProcess[str]], install: Callable[[str, str, str], None]
) -> None:
    """Plugins that are not asked for leave nothing in the schema."""
    install("shout-plugin", "shouting", PLUGIN)
    printed = inside("schema", "--plugin", "echo", "--plugin", "live").stdout
    assert "decibels" not in printed
    assert "interval_seconds" in printed


def test_the_shipped_file(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The configuration that ships is good by the schema, and a slip in it is found."""
    schema = json.loads(inside("schema").stdout)
    shipped = (ROOT / "gateway.yaml").read_text(encoding="utf-8")
    assert faults(schema, shipped) == []
    for good, slip in (
        ("interval_seconds:", "intervall_seconds:"),
        ("page_path:", "page:"),
        ("port:", "prot:"),
    ):
        assert faults(schema, shipped.replace(good, slip)), slip


def test_as_markdown(inside: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """The reference for people comes from the same command."""
    done = inside("schema", "--format", "markdown")
    assert done.stdout.startswith("# Every key of gateway.yaml\n")
    assert "\n## `routes[].limits`\n" in done.stdout
