from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import ConfigError, Loaded, load_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """A function that loads a text as `gateway.yaml` of the working directory."""
    monkeypatch.chdir(tmp_path)

    def load(text: str | bytes, environ: Mapping[str, str] | None = None) -> Loaded:
        (tmp_path / "gateway.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_config("gateway.yaml", environ or {})

    return load


@pytest.fixture
def refusals(load: Callable[..., Loaded]) -> Callable[..., list[str]]:
    """A function that loads a text which must be refused, and returns the lines of the error."""

    def refusals(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, environ)
        return str(caught.value).splitlines()

    return refusals
