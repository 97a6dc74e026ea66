"""Tests with a real Prometheus: the shipped configuration, in front of a real gateway's figures."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fronts import PATIENCE_SECONDS, free_port
from shipped import DEPLOY, find_tool
from test_figures import SERIES, queries, rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from gateway.testing import Served

pytestmark = pytest.mark.tools

YAML = """
plugins: {live: {enabled: false}}
metrics: {public: true}
routes: [{path: /echo, handlers: [echo], allow_missing_origin: true}]
"""


class Prometheus:
    """A Prometheus of the test's own.

    Args:
        client: Asks it.
    """

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def get(self, path: str, **query: str) -> Any:
        """Ask its API, and give the data."""
        answer = await self._client.get(path, params=query)
        answer.raise_for_status()
        return answer.json()["data"]

    async def names(self) -> set[str]:
        """Give the names of the series that it has."""
        return set(await self.get("label/__name__/values"))


@pytest.fixture
async def prometheus(
    serve_gateway: Callable[..., Awaitable[Served]], tmp_path: Path
) -> AsyncIterator[Prometheus]:
    """A Prometheus with the shipped files, whose targets are one gateway, asked every half second."""
    served = await serve_gateway(YAML)
    config = (DEPLOY / "prometheus" / "prometheus.yaml").read_text("utf-8")
    targets = '["gateway-1:8001", "gateway-2:8001"]'
    assert targets in config
    config = config.replace(targets, f'["127.0.0.1:{served.port}"]').replace(" 15s", " 500ms")
    (tmp_path / "prometheus.yaml").write_text(config, encoding="utf-8")
    (tmp_path / "rules.yaml").write_text((DEPLOY / "prometheus" / "rules.yaml").read_text("utf-8"))
    port = free_port()
    said = (tmp_path / "said").open("wb")
    process = subprocess.Popen(  # noqa: ASYNC220 - it has to be ended whatever happens to the loop
        [
            find_tool("prometheus", "prometheus"),
            f"--config.file={tmp_path / 'prometheus.yaml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=said,
        stderr=said,
    )
    try:
        base = f"http://127.0.0.1:{port}/api/v1/"
        async with httpx.AsyncClient(base_url=base, trust_env=False) as client, served.connect("/echo"):
            yield Prometheus(client)
    finally:
        process.kill()
        process.wait()
        said.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds, though Prometheus may not answer yet."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                if await condition():
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)


async def test_it_reads_the_gateway_and_answers_the_dashboard(prometheus: Prometheus) -> None:
    """The target is up, what arrives is declared, and each query of the dashboard is answered."""

    async def is_up() -> bool:
        return any(one["value"][1] == "1" for one in (await prometheus.get("query", query="up"))["result"])

    await until(is_up)
    names = await prometheus.names()
    assert {name for name in names if name.startswith("gateway_")} <= SERIES.keys()
    assert {"gateway_connections", "gateway_loop_lag_seconds_bucket", "gateway_messages_total"} <= names
    for query in queries():
        await prometheus.get("query", query=query)
    connections = (await prometheus.get("query", query="sum(gateway_connections)"))["result"]
    assert connections[0]["value"][1] == "1"


async def test_its_rules_are_judged_and_silent(prometheus: Prometheus) -> None:
    """Prometheus evaluates every rule without an error, and a gateway that is well wakes nobody."""

    async def judged() -> bool:
        groups = (await prometheus.get("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return len(found) == len(rules()) and all(rule["health"] == "ok" for rule in found)

    await until(judged)
    alerts = (await prometheus.get("alerts"))["alerts"]
    assert [alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"] == []
