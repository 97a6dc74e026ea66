"""Tests of `gateway new-plugin`: what it makes is installed, tested, served and talked to."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Command = Callable[..., subprocess.CompletedProcess[str]]

PATIENCE_SECONDS = 60


@pytest.mark.timeout(240)  # six processes run one after another
async def test_a_new_plugin_works(
    command: Command,
    run: Callable[..., Awaitable[Any]],
    folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A plugin that was just made is installed, passes its own tests, is served and answers."""
    done = command("new-plugin", "acme-greet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("made acme-greet, a plugin with the handler 'acme-greet'; next:\n")
    project = folder / "acme-greet"
    site = tmp_path_factory.mktemp("site")
    execute(
        *("-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        # The gateway and hatchling are here already, so the index has nothing to give.
        *("--no-index", "--no-deps", "--no-build-isolation", "--target", str(site), str(project)),
    )
    environ = {"PYTHONPATH": str(site), "http_proxy": "http://127.0.0.1:9"}  # the client goes past it
    said = execute("-m", "pytest", "-q", "-p", "no:cacheprovider", str(project), cwd=project, **environ)
    assert " passed" in said
    options = ("--config", str(project / "gateway.yaml"), "--port", "0", "--in-process")
    served = await run(*options, environ=environ)
    await served.until(lambda: any(line.startswith("ws ") for line in served.printed))
    url = served.printed[-1].split()[-1]
    assert url.endswith("/acme-greet")
    said = execute("-m", "gateway", "connect", url, "--wait", "0.3", lines="hello\n", **environ)
    assert said == "welcome\nhello\n"


def execute(*arguments: str, lines: str = "", cwd: Path | None = None, **environ: str) -> str:
    """Run the interpreter to a good end; give what it printed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environ,
        input=lines,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_folder_may_be_named(folder: Path) -> None:
    """The folder may be another one; a prefix `gateway-` is not part of the handler's name."""
    done = CliRunner().invoke(app, ["new-plugin", "gateway-acme", "--folder", "deep/er"])
    assert done.exit_code == 0
    project = folder / "deep" / "er"
    made = {str(file.relative_to(project)) for file in project.rglob("*") if file.is_file()}
    assert made == {
        ".gitignore", "README.md", "gateway.yaml", "pyproject.toml", "src/gateway_acme/__init__.py",
        "src/gateway_acme/py.typed", "tests/test_handler.py", "tests/test_shipped.py",
    }  # fmt: skip
    source = (project / "src" / "gateway_acme" / "__init__.py").read_text()
    assert "class Acme(Handler[AcmeOptions]):" in source
    assert 'return {"acme": Acme}' in source
    assert "@" not in source.replace("@hookimpl", "")


def test_an_existing_folder_is_left_alone(folder: Path) -> None:
    """Nothing is written where something is."""
    (folder / "acme").mkdir()
    (folder / "file").write_text("mine")
    for arguments in (("acme",), ("acme-two", "--folder", "file")):
        done = CliRunner().invoke(app, ["new-plugin", *arguments])
        assert done.exit_code == 1
        assert done.output.startswith("there is already something at ")
    assert list((folder / "acme").iterdir()) == []


def test_a_folder_is_no_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the plugin's name where the command is run is not taken for an installed package."""
    monkeypatch.syspath_prepend(folder)  # as with `python -m gateway`
    (folder / "acme_greet").mkdir()
    done = CliRunner().invoke(app, ["new-plugin", "acme-greet"])
    assert (done.exit_code, (folder / "acme-greet" / "pyproject.toml").is_file()) == (0, True)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Acme_Greet", "not a name for a distribution: 'Acme_Greet'"),
        ("../acme", "not a name for a distribution"),
        ("", "not a name for a distribution"),
        ("9lives", "not a name for a package: '9lives'"),
        ("class", "not a name for a package: 'class'"),
        ("options", "not a name for a plugin"),
        ("json", "there is already a module 'json'"),
        ("gateway", "there is already a module 'gateway'"),
        ("echo", "there is already a plugin 'echo' installed, try acme-echo"),
        ("int", "not a name for a plugin: 'int' is built into Python, try acme-int"),
        ("value-error", "not a name for a plugin: 'ValueError' is built into Python, try acme-value-error"),
        ("type", "'type' is built into Python"),
        ("tests", "not a name for a plugin: 'tests' says nothing of it"),
        ("src", "'src' says nothing of it, and most projects have one, try acme-src"),
        ("handlers", "'handlers' says nothing of it"),
        ("pydantic", "there is already a module 'pydantic', which the plugin would be mixed up with, try"),
        ("spread-out", "there is already a module 'spread_out'"),
        ("gateway-ws", "there is already a distribution 'gateway-ws' installed"),
    ],
)
def test_a_bad_name_is_refused(
    name: str, said: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that no distribution or package can have, or that is taken, is refused, and nothing is made."""
    (folder / "site" / "spread_out").mkdir(parents=True)  # a package of no file, as namespaces are
    monkeypatch.syspath_prepend(folder / "site")
    before = sorted(folder.iterdir())
    done = CliRunner().invoke(app, ["new-plugin", name])
    assert done.exit_code == 1
    assert said in done.output
    assert done.output.count("\n") == 1
    assert ("try acme-greet" in done.output) == (name == "Acme_Greet")
    assert sorted(folder.iterdir()) == before
