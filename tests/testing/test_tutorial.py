"""The tutorial of the author's guide, followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import pytest

PATIENCE_SECONDS: Final = 60
GUIDE: Final = Path(__file__).parents[2] / "plugins" / "README.md"
TUTORIAL: Final = (
    GUIDE.read_text("utf-8").partition("\n## From nothing to a shipped package\n")[2].partition("\n## ")[0]
)
# The gateway and hatchling are here already, so the index has nothing to give.
PIP: Final = ("-m", "pip", "--quiet", "--disable-pip-version-check")
OFFLINE: Final = ("--no-index", "--no-deps", "--no-build-isolation")


def blocks(kind: str) -> list[str]:
    """Give the blocks of a kind that stand in the tutorial by themselves, in no other block."""
    found = re.findall(r"^(`{3,})(\w+)\n(.*?)^\1$", TUTORIAL, re.DOTALL | re.MULTILINE)
    return [text for _, word, text in found if word == kind]


class Author:
    """Who follows the tutorial.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._site = folder / "site"
        self.project = folder / "acme-poll"

    def make(self) -> None:
        """Do the first step."""
        said = self.run("-m", "gateway", "new-plugin", "acme-poll")
        assert "\n  gateway dev" in said

    def write_the_handler(self) -> None:
        """Do the second one."""
        (code, _), (yaml,), (readme,) = blocks("python"), blocks("yaml"), blocks("markdown")
        (self.project / "src" / "acme_poll" / "__init__.py").write_text(code, "utf-8")
        (self.project / "gateway.yaml").write_text(yaml, "utf-8")
        file = self.project / "README.md"
        before, heading, rest = file.read_text("utf-8").partition("## Working on it\n")
        assert "`greeting`" in before
        file.write_text(f"{readme}\n{heading}{rest}", "utf-8")

    def write_the_test(self) -> None:
        """Do the fourth one."""
        (self.project / "tests" / "test_handler.py").write_text(blocks("python")[1], "utf-8")

    def ship(self) -> None:
        """Do the fifth one, and install what was made, as pip does with a wheel of Python alone."""
        self.run(*PIP, "wheel", *OFFLINE, "--wheel-dir", str(self._folder / "dist"), str(self.project))
        (wheel,) = (self._folder / "dist").glob("*.whl")
        zipfile.ZipFile(wheel).extractall(self._site)

    def test(self, *what: str, good: bool = True) -> str:
        """Run its tests; give what pytest says."""
        return self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", *what, cwd=self.project, good=good)

    def described(self) -> str:
        """Give what the wheel says of itself to whoever finds it on an index."""
        return next(self._site.glob("acme_poll-*.dist-info/METADATA")).read_text("utf-8")

    def run(self, *arguments: str, cwd: Path | None = None, good: bool = True) -> str:
        """Run the interpreter to an end that is good, or is not; give what it prints."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self._folder if cwd is None else cwd,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(self._site), PATH)))},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert (done.returncode == 0) == good, done.stdout + done.stderr
        return done.stdout + done.stderr


PATH: Final = os.environ.get("PYTHONPATH", "")


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    """An author who has followed it to its end, and has installed what came of it."""
    author = Author(tmp_path_factory.mktemp("tutorial"))
    author.make()
    author.write_the_handler()
    author.write_the_test()
    author.ship()
    return author


def test_the_tutorial_is_true(author: Author) -> None:
    """It leads to a plugin that passes its tests and is good where it is installed, and says what it is."""
    assert re.search(r"^6 passed", author.test(), re.MULTILINE)
    assert ": good, 1 route" in author.run("-m", "gateway", "check", cwd=author.project)
    assert "`choices`" in author.described()
    assert "greet" not in author.described()


def test_what_is_forgotten_is_told(author: Author, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests that stay tell what is not true of gateway.yaml and of README.md."""
    shutil.copytree(author.project, tmp_path / "acme-poll")
    monkeypatch.setattr(author, "project", tmp_path / "acme-poll")
    spoil(author.project / "gateway.yaml", "choices: [tea, coffee]", "greeting: hello")
    spoil(author.project / "README.md", "| `choices`", "| `greeting`")
    said = author.test("tests/test_shipped.py", good=False)
    assert re.findall(r"^FAILED tests/test_shipped.py::(\w+)", said, re.MULTILINE) == [
        "test_the_example_is_served",
        "test_the_readme_shows_the_example",
        "test_the_readme_has_the_options",
    ]


def spoil(file: Path, good: str, bad: str) -> None:
    """Have a file say something else."""
    text = file.read_text("utf-8")
    assert good in text
    file.write_text(text.replace(good, bad), "utf-8")


def test_what_a_console_runs_is_there(author: Author) -> None:
    """Whatever module is run, in the tutorial and in README.md, was installed a line before."""
    readme = (author.project / "README.md").read_text("utf-8")
    for text in (TUTORIAL, readme):
        ran = re.findall(r"^(.*)\n\$ python -m (\w+)$", text, re.MULTILINE)
        assert ("$ pip install build", "build") in ran
        assert all(before == f"$ pip install {module}" for before, module in ran if module != "venv")
