from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
FILES = sorted((HERE / "corpus").iterdir())
FUZZ = runpy.run_path(str(HERE / "fuzz_frames.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_corpus(file: Path) -> None:
    """An input of the corpus keeps every promise of the fuzz target."""
    FUZZ["check"](file.read_bytes())


def test_corpus_has_the_seeds() -> None:
    """The corpus has every seed as `make_corpus.py` makes it today."""
    seeds = runpy.run_path(str(HERE / "make_corpus.py"))
    for name, data in {**seeds["frames"](), **seeds["heads"]()}.items():
        assert (HERE / "corpus" / name).read_bytes() == data, name


@pytest.mark.parametrize(
    ("data", "broken"),
    [
        (b"F\x00\x07\x81\x81\x00\x00\x00\x00a", lambda data: ["a" * len(data)]),
        (b"F\x06\x07\x81\x82\x00\x00\x00\x00ab", lambda data: ["ab"] if data else []),
    ],
    ids=["cuts", "limit"],
)
def test_target_can_fail(monkeypatch: pytest.MonkeyPatch, data: bytes, broken: Callable[..., Any]) -> None:
    """A reader that depends on the cuts, or passes the limit by, is found out."""
    monkeypatch.setattr("gateway.protocol.frames.FrameReader.feed", lambda _, data, *__: broken(data))
    with pytest.raises(AssertionError):
        FUZZ["check"](data)


def test_missing_atheris_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without atheris the program ends with one line that says what to install."""
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(SystemExit, match="atheris is not installed: pip install"):
        FUZZ["main"]()
