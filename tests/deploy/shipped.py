"""The files of `deploy/`, as data, and the programs that judge them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
SECRETS = {"NATS_PASSWORD": "n0pe", "GATEWAY_RESUME_KEY": "k" * 32}
SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def find_tool(name: str, package: str) -> str:
    """Find a program, beside the interpreter first; fail where it is missing."""
    found = (
        shutil.which(name, path=str(Path(sys.executable).parent))
        or shutil.which(name)
        or shutil.which(name, path=SYSTEM_FOLDERS)
    )
    if found is None:
        pytest.fail(
            f"no {name} on this machine: install {package}, or leave the tests that need such programs out "
            "on purpose, by -m 'not tools'",
            pytrace=False,
        )
    return found


def documents(name: str) -> list[Any]:
    """Give the YAML documents of a file of `deploy/`."""
    return list(yaml.safe_load_all((DEPLOY / name).read_text("utf-8")))


def document(name: str) -> Any:
    """Give the only YAML document of a file of `deploy/`."""
    (only,) = documents(name)
    return only


def manifests() -> list[dict[str, Any]]:
    """Give every object of `deploy/kubernetes/`."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [found for file in files for found in yaml.safe_load_all(file.read_text("utf-8"))]


def manifest(kind: str, name: str = "gateway") -> dict[str, Any]:
    """Give one object of `deploy/kubernetes/`."""
    (only,) = [one for one in manifests() if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    return only
