"""Tests of `gateway config`: every value with its origin, as YAML and as JSON, and no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

TEXT = """\
listen:
  port: ${PORT}
routes:
  - path: /echo
    handlers: [echo]
    groups: ["everyone", "user:{user}"]
    compression: {}
api:
  required_claims: {roles: [ops, {"a b": "on"}], "null": null}
  tokens: [{name: ops, token: "${TOKEN}"}]
"""


def test_as_yaml(
    command: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """Each value has a comment that says where it comes from, and the whole is YAML."""
    write(TEXT)
    done = command("config", PORT="9000", TOKEN="hunter2")
    assert (done.returncode, done.stderr) == (0, "")
    lines = [" # ".join(part.strip() for part in line.split("  # ")) for line in done.stdout.splitlines()]
    for line in (
        "port: 9000 # environment PORT",
        "host: 127.0.0.1 # default",
        "- path: /echo # gateway.yaml:4",
        "- name: echo # gateway.yaml:5",
        "announce: false # default",
        "groups: [everyone, 'user:{user}'] # gateway.yaml:6",
        "token: '********' # environment TOKEN",
    ):
        assert any(one.removeprefix("- ") == line.removeprefix("- ") for one in lines), line
    assert "hunter2" not in done.stdout
    data = yaml.safe_load(done.stdout)
    assert data["routes"][0]["limits"]["max_message_bytes"] == 65536
    assert data["plugins"]["live"]["enabled"] is True


def test_as_json(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """Values and origins are apart, for programs."""
    write(TEXT)
    done = inside("config", "--format", "json", PORT="9000", TOKEN="hunter2")
    outcome = json.loads(done.stdout)
    assert outcome["config"]["listen"]["port"] == 9000
    assert outcome["config"] == yaml.safe_load(inside("config", PORT="9000", TOKEN="hunter2").stdout)
    assert outcome["config"]["api"]["tokens"][0]["token"] == "********"
    assert outcome["origins"]["listen.port"] == "environment PORT"
    assert outcome["origins"]["routes[0].path"] == "gateway.yaml:4"
    assert outcome["origins"]["routes[0].overflow"] == "default"


def test_a_bad_file(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A file with errors has no values that hold; its errors are told."""
    write("listen: {prot: 1}")
    done = inside("config")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "gateway.yaml:1:10: listen.prot: unknown key\n  hint: did you mean 'port'?\n"
