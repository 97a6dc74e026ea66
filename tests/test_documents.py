"""Tests that hold the documents against the live objects."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway
from gateway.admin.ending import DisconnectRequest, RevokeRequest
from gateway.protocol.close_codes import CLOSE_CODES
from gateway.protocol.refusals import REFUSALS

ROOT = Path(__file__).parent.parent


def read(name: str) -> str:
    """Read a document of the project."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_close_code_stands_in_the_operators_guide() -> None:
    """The table has a row for each code, with the code's own words, and no other row."""
    guide = read("deploy/README.md")
    rows = re.findall(r"^\| (\d{4}) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", guide, re.MULTILINE)
    expected = [(str(row.code), row.name, row.meaning, str(row.reconnect)) for row in CLOSE_CODES.values()]
    assert rows == expected


@pytest.mark.parametrize("error", REFUSALS)
def test_every_refusal_stands_in_the_operators_guide(error: str) -> None:
    """Each refusal's error is in the table, beside its status."""
    guide = read("deploy/README.md")
    rows = [line for line in guide.splitlines() if line.startswith("|") and f"`{error}`" in line]
    assert any(f"| {REFUSALS[error].status} |" in row for row in rows)


def test_shipped_configuration_names_every_key_with_its_default() -> None:
    """Each key of the models stands in gateway.yaml, set or commented out, where it belongs or below."""
    from gateway.config.models import GatewayConfig  # noqa: PLC0415 - only here

    shipped = read("gateway.yaml")
    keys: set[str] = set()

    def collect(schema: dict) -> None:
        keys.update(schema.get("properties", {}))

    schema = GatewayConfig.model_json_schema()
    collect(schema)
    for definition in schema["$defs"].values():
        collect(definition)
    missing = [key for key in sorted(keys) if not re.search(rf"(^|[\s#{{,-]){key}:", shipped, re.MULTILINE)]
    assert missing == []


def test_every_limit_on_who_connects_stands_in_the_operators_guide() -> None:
    """Each key of the limits and of the proxies is explained, not only listed in gateway.yaml."""
    from gateway.config.models.listen_limits import ListenLimits  # noqa: PLC0415 - only here

    guide = read("deploy/README.md")
    assert [key for key in ListenLimits.model_fields if key not in guide] == []


def test_every_test_that_the_threat_model_names_is_there() -> None:
    """Each row of the threat model names tests that exist, and each attack has at least one."""
    section = read("deploy/README.md").partition("## Threat model\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[^`]+)`", row.rsplit("|", 2)[1])
        assert named, row
        for name in named:
            assert (ROOT / name).is_file(), name


def test_the_calls_in_the_operators_guide_are_good() -> None:
    """Each example of a call that ends connections has a body that the call takes."""
    bodies = re.findall(r"^call (\w+) '([^']+)'", read("deploy/README.md"), re.MULTILINE)
    assert {name for name, _ in bodies} == {"disconnect", "revoke"}
    for name, body in bodies:
        model = DisconnectRequest if name == "disconnect" else RevokeRequest
        model.model_validate_json(body)


def test_public_names_are_documented() -> None:
    """Every public name has a docstring of its own."""
    for name in gateway.__all__:
        thing = getattr(gateway, name)
        documented = thing if isinstance(thing, type) else type(thing)
        assert documented.__doc__, name


def test_readme_example_serves(tmp_path: Path) -> None:
    """The plugin and the gateway.yaml of the README are sound Python and YAML."""
    blocks = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(blocks[0], "README.md", "exec"), scope)  # noqa: S102 - our own document
    assert scope["gateway_handlers"]().keys() == {"greet"}  # type: ignore[operator]
