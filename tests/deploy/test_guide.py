"""Tests of the operator's guide: its order, its links, and the files and numbers that it names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from shipped import DEPLOY, document, manifest

GUIDE = (DEPLOY / "README.md").read_text("utf-8")
ORDER = (
    "Install",
    "Configure",
    "Size",
    "Tuning the kernel",
    "Draining",
    "Upgrading",
    "Diagnosing",
    "Past one machine",
)


def anchors(text: str) -> set[str]:
    """Give the anchors of a document's headings."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_it_is_in_the_order_in_which_it_is_needed() -> None:
    """Its first sections go from installing to planning past one machine."""
    titles = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    found = [title for title in titles if title in ORDER]
    assert tuple(found) == ORDER
    assert titles[0] == ORDER[0]


def test_what_is_installed_finds_its_schema(tmp_path: Path) -> None:
    """The lines of the first block put the schema, as this gateway gives it, where the file says it is."""
    (block,) = re.findall(r"### With systemd\n\n```sh\n(.*?)```", GUIDE, re.DOTALL)
    written = [line for line in block.splitlines() if "/etc/gateway/gateway." in line]
    for line in written:
        command = line.replace("/opt/gateway/bin/", f"{Path(sys.executable).parent}/")
        command = command.replace("/etc/gateway/", f"{tmp_path}/")
        subprocess.run(["sh", "-ec", command], cwd=DEPLOY.parent, check=True)
    first, *_ = (tmp_path / "gateway.yaml").read_text("utf-8").splitlines()
    schema = tmp_path / first.partition("$schema=")[2]
    assert "properties" in json.loads(schema.read_text("utf-8"))


@pytest.mark.parametrize(
    "name", ["README.md", "METRICS.md", "../plugins/README.md", "../plugins/REFERENCE.md"]
)
def test_every_link_leads_somewhere(name: str) -> None:
    """Each link within the repository has its file, and its heading there."""
    text = (DEPLOY / name).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        target = (DEPLOY / name).parent / file if file else DEPLOY / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def test_every_shipped_file_is_in_it() -> None:
    """What lies in the folder is named: files of its top, and the folders."""
    for path in DEPLOY.iterdir():
        if path.suffix != ".png" and path.name not in {"README.md", "Dockerfile.dockerignore", "nats.conf"}:
            assert path.name in GUIDE, path.name
    for path in (DEPLOY / "systemd").iterdir():
        assert path.name in GUIDE, path.name


def test_examples_of_yaml_are_yaml() -> None:
    """Each example is sound."""
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL):
        assert yaml.safe_load(block)


def test_what_it_says_of_the_manifests_is_so() -> None:
    """The seconds and numbers of the chapter on Kubernetes are those of the files."""
    chapter = GUIDE.partition("### On Kubernetes\n")[2].partition("\n### ")[0]
    pod = manifest("Deployment")["spec"]["template"]["spec"]
    config = yaml.safe_load(manifest("ConfigMap")["data"]["gateway.yaml"])
    drain = config["listen"]["drain_seconds"]
    before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert f"for {before} more seconds (`preStop`)" in chapter
    assert f"`drain_seconds` ({drain})" in chapter
    assert pod["terminationGracePeriodSeconds"] == before + drain + 5 + 10
    (pods,) = [one["pods"] for one in manifest("HorizontalPodAutoscaler")["spec"]["metrics"] if "pods" in one]
    target, most = int(pods["target"]["averageValue"]), config["listen"]["max_connections"]
    assert f"at {target:,} of at most {most:,}" in chapter


def test_no_secret_is_in_what_it_tells_to_type() -> None:
    """Secrets are made up where they are needed, under the names that the files ask for."""
    compose = (DEPLOY / "compose.yaml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", compose))
    made = set(re.findall(r"for name in ([A-Z_ ]+);", compose)[0].split())
    assert asked == made
    assert document("compose.yaml")["services"]["nats"]["environment"].keys() == {"NATS_PASSWORD"}
    for name in ("NATS_PASSWORD", "GATEWAY_RESUME_KEY", "GATEWAY_API_TOKEN"):
        assert re.search(rf'--from-literal={name}="\w?\$\(openssl rand', GUIDE), name
