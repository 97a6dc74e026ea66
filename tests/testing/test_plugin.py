"""Tests of the pytest plugin as pytest finds it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import gateway.testing

pytest_plugins = ["pytester"]


def test_the_entry_point_is_the_package() -> None:
    """Pytest finds the fixtures by the entry point."""
    (found,) = entry_points(group="pytest11", name="gateway")
    assert found.load() is gateway.testing


def test_every_name_is_there() -> None:
    """What is imported only when it is used can be imported, and nothing else is there."""
    for name in gateway.testing.__all__:
        assert getattr(gateway.testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gateway.testing.nothing  # noqa: B018 - it raises


def test_finding_it_imports_little() -> None:
    """Pytest imports it wherever the gateway is installed, so it brings no server and no client with it."""
    code = """
import sys, pytest, pytest_asyncio
import gateway.testing
heavy = {"sanic", "websockets", "aiohttp", "httpx", "pydantic", "typer", "rich.console", "gateway.app",
         "gateway.core", "gateway.config"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "[]\n"


def test_without_pytest_asyncio_it_says_what_is_missing(pytester: pytest.Pytester) -> None:
    """Pytest starts without pytest-asyncio, and a test that needs the fixtures is told what to install."""
    pytester.makepyfile(
        test_it="""
        def test_it(serve_gateway):
            pass

        def test_other():
            pass
    """
    )
    pytester.makepyfile(pytest_asyncio="raise ModuleNotFoundError(__name__)")
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:asyncio", "-q")
    result = pytester.run(sys.executable, *arguments)
    result.stdout.fnmatch_lines(
        ["*needs pytest-asyncio: install gateway-ws?testing?*", "*1 passed, 1 error*"]
    )
