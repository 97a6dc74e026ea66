"""Tests of what is generated from the models: it is complete, its links lead somewhere, it is not stale."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import BaseModel

from gateway.app.schema import schema_with_plugins
from gateway.config import models
from gateway.config.reference import reference

ROOT = Path(__file__).parents[2]
HOW = "run `make reference`"


def test_the_reference_is_not_stale() -> None:
    """The document that ships is what the models give."""
    assert (ROOT / "deploy/CONFIGURATION.md").read_text(encoding="utf-8") == reference(), HOW


def test_the_schema_for_editors_is_not_stale() -> None:
    """The schema that ships is what the models and the plugins of this repository give."""
    shipped = json.loads((ROOT / "deploy/gateway.schema.json").read_text(encoding="utf-8"))
    assert shipped == schema_with_plugins(["echo", "live", "chat", "webhook"]), HOW


def test_the_shipped_configuration_names_the_schema() -> None:
    """The first line tells editors where the schema is."""
    first = (ROOT / "gateway.yaml").read_text(encoding="utf-8").splitlines()[0]
    name = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert name is not None
    assert (ROOT / name[1]).is_file()


def test_every_key_has_its_row() -> None:
    """Each key of each model has a row with its description."""
    rows = {
        (cells[0].strip("` "), cells[3].strip())
        for line in reference().splitlines()
        if line.startswith("| `") and len(cells := re.split(r"(?<!\\)\|", line[1:-1])) == 4
    }
    for name in models.__all__:
        model = getattr(models, name)
        # The last is no section of the file, only what two of them have in common.
        if issubclass(model, BaseModel) and name not in {"ConfigModel", "LinkedBrokerConfig"}:
            for key, declared in model.model_fields.items():
                described = " ".join(str(declared.description).split()).replace("|", "\\|")
                assert (key, described) in rows, (name, key)


def test_every_link_leads_to_a_section() -> None:
    """Each link within the document has its heading."""
    text = reference()
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert len(links) > 20
    assert links <= anchors
    assert len(headings) == len(set(headings))
