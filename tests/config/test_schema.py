"""Tests of the JSON Schema: it takes what the models take, and refuses what they do not know."""

from __future__ import annotations

import ast
import functools
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway.config import ConfigError, GatewayConfig, load_config
from gateway.config.schema import _TAKEN_BEFORE, json_schema
from gateway.config.syntax import Loader

ROOT = Path(__file__).parents[2]
SECTIONS = frozenset(GatewayConfig.model_fields)
# The environment of the texts that are found: every name has a value of 40 characters, which suits secrets.
NAMES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@functools.cache
def validator() -> Draft202012Validator:
    """Give what validates by the schema without plugins."""
    return Draft202012Validator(json_schema())


def faults(text: str) -> list[str]:
    """Give what the schema has to say of a text, as an editor would that knows no environment."""
    data = yaml.load(text, Loader)  # noqa: S506 - it makes plain data only
    return [
        f"{'.'.join(map(str, fault.absolute_path))}: {fault.message}"
        for fault in validator().iter_errors({} if data is None else data)
    ]


def texts() -> list[str]:
    """Find whatever looks like a gateway.yaml in the tests and the documents."""
    found = [(ROOT / "gateway.yaml").read_text(encoding="utf-8")]
    found += [file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*/gateway.yaml")]
    for file in sorted(ROOT.glob("*.md")) + sorted((ROOT / "deploy").glob("*.md")):
        found += re.findall(r"```yaml\n(.*?)```", file.read_text(encoding="utf-8"), re.DOTALL)
    for folder in ("tests", "plugins"):
        for file in sorted((ROOT / folder).rglob("test_*.py")):
            if ".build" not in file.parts:
                tree = ast.parse(file.read_text(encoding="utf-8"))
                found += [
                    node.value
                    for node in ast.walk(tree)
                    if isinstance(node, ast.Constant) and isinstance(node.value, str)
                ]
    return list(dict.fromkeys(text for text in found if _looks_like_one(text)))


def _looks_like_one(text: str) -> bool:
    if not any(f"{section}:" in text for section in SECTIONS):
        return False
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return False
    return isinstance(data, dict) and bool(SECTIONS.intersection(map(str, data)))


def test_the_schema_is_one() -> None:
    """It is a schema of the draft that it names, and describes every section."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"].keys() == SECTIONS
    for section in schema["properties"].values():
        assert section["description"]


def test_everything_that_passes_check_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the models take of the texts in tests and documents, the schema takes; unknown keys not."""
    monkeypatch.chdir(tmp_path)
    fitting = refused = 0
    for text in texts():
        environ = dict.fromkeys(NAMES.findall(text), "s" * 40)
        try:
            load_config("gateway.yaml", environ, text)
        except ConfigError as exc:
            if any(problem.message == "unknown key" for problem in exc.problems):
                assert faults(text), text
                refused += 1
        else:
            assert faults(text) == [], text
            fitting += 1
    assert fitting > 150
    assert refused > 5


@pytest.mark.parametrize(
    "text",
    [
        "lisen: {}",
        "listen: {prot: 1}",
        "listen: {tls: {certificate: a, key: b, cert: c}}",
        "routes: [{path: /a, handler: echo}]",
        "routes: [{path: /a, handlers: [{name: echo, option: {}}]}]",
        "routes: [{path: /a, limits: {max_bytes: 1}}]",
        "routes: [{}]",
        "routes: [{path: /a, overflow: never}]",
        "groups: [{pattern: a, history: {sise: 1}}]",
        "broker: {type: memory, urls: []}",
        "broker: {type: nats, ulrs: []}",
        "broker: {type: redis, token: a}",
        "api: {tokens: [{token: a}]}",
        "authentication: {jwt: {issuers: []}}",
        "log: {level: loud}",
        "listen: {port: 70000}",
        "listen: {port: '80'}",
        "listen: {workers: 0}",
        "listen: {workers: many}",
    ],
)
def test_refused(text: str) -> None:
    """Unknown and missing keys, types, ranges and words are found as they are written."""
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        'listen: {port: "${PORT}", workers: "${WORKERS:-auto}"}',
        "listen:\nroutes:\nplugins: {live: }",
        "routes: [{path: /a, handlers: [echo, {name: live, options: }], overflow: '${WHAT}'}]",
        "groups: [{pattern: a, presence: true}, {pattern: b, presence: count}, {pattern: c, presence: }]",
        "broker: {type: some-plugins, anything: {a: 1}}",
        "broker: {type: nats, password: , tls: {}}",
        "resume: {key: }",
        "authentication: {jwt: {issuers: [{issuer: a, audience: b, algorithms: [RS256], keys: []}]}}",
    ],
)
def test_taken(text: str) -> None:
    """Values from the environment, short forms, and sections that are left empty are good."""
    assert faults(text) == []


def test_every_early_validator_is_known() -> None:
    """What a validator takes beyond its type is in the schema, or it takes no more."""
    source = "\n".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "gateway/config/models").rglob("*.py")
    )
    used = set(re.findall(r"BeforeValidator\((\w+)\)", source))
    used |= set(re.findall(r'mode="before"\)\n    @classmethod\n    def (\w+)', source))
    assert used <= _TAKEN_BEFORE.keys()


def test_nothing_of_this_machine() -> None:
    """The schema is the same wherever it is made."""
    text = repr(json_schema())
    assert os.fspath(ROOT) not in text


def test_defaults_are_shown() -> None:
    """Editors show what holds when a key is left out."""
    listen: dict[str, Any] = json_schema()["$defs"]["ListenConfig"]["properties"]
    assert listen["port"]["default"] == 8000
    assert "TCP port" in listen["port"]["description"]
