"""The fixtures. What they need is imported when a test asks for one of them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway import Handler
    from gateway.testing.client import Client
    from gateway.testing.clock import TestClock
    from gateway.testing.published import Published
    from gateway.testing.served import Served

__all__ = ["check_handler", "gateway_client", "gateway_clock", "gateway_published", "serve_gateway"]


def _async_fixture(function: Callable[..., Any]) -> Any:
    """Make a fixture of an async generator; without pytest-asyncio, one that says what to install.

    Wherever the gateway is installed, pytest imports this module, so it must not fail there.
    """
    try:
        from pytest_asyncio import fixture  # noqa: PLC0415 - may not be installed
    except ImportError:

        @pytest.fixture(name=function.__name__)
        def missing() -> None:
            pytest.fail(f"the fixture {function.__name__} needs pytest-asyncio: install gateway-ws[testing]")

        return missing
    return fixture(function)


@pytest.fixture
def gateway_clock() -> TestClock:
    """Give a clock that stands still until it is turned; every gateway of the test goes by it."""
    from gateway.testing.clock import TestClock  # noqa: PLC0415 - when a test asks for it

    return TestClock()


@pytest.fixture
def gateway_published() -> Published:
    """Give what the gateways of the test have published."""
    from gateway.testing.published import Published  # noqa: PLC0415 - when a test asks for it

    return Published()


@_async_fixture
async def serve_gateway(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    gateway_published: Published,
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Give a function that serves a handler, or a configuration, until the test ends.

    Its arguments are those of `gateway.testing.serve`, without the folder. If the test has asked for
    `gateway_clock`, that is the clock.
    """
    from gateway.testing.served import serve  # noqa: PLC0415 - when a test asks for it

    given: dict[str, Any] = {"published": gateway_published}
    if "gateway_clock" in request.fixturenames:
        given["clock"] = request.getfixturevalue("gateway_clock")
    async with AsyncExitStack() as stack:

        async def start(what: str | Path | type[Handler[Any]], **options: Any) -> Served:
            folder = tmp_path_factory.mktemp("gateway")
            return await stack.enter_async_context(serve(folder, what, **(given | options)))

        yield start


@_async_fixture
async def gateway_client() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Give a function that connects a client to a gateway that is served, until the test ends.

    Its arguments are the `Served` one, and those of `Served.client`.
    """
    async with AsyncExitStack() as stack:

        async def bring(served: Served, path: str | None = None, **options: Any) -> Client:
            return await stack.enter_async_context(served.client(path, **options))

        yield bring


@pytest.fixture
def check_handler(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Awaitable[None]]:
    """Give a function that takes a handler through nasty conversations; see `gateway.testing.check`."""

    async def check(what: str | Path | type[Handler[Any]], **options: Any) -> None:
        from gateway.testing.checking import check as run  # noqa: PLC0415 - when a test asks for it

        await run(tmp_path_factory.mktemp("gateway"), what, **options)

    return check
