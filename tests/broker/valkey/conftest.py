"""Real clusters of Valkey."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parent))  # behind the folder above, which has files of the same names

from valkey_cluster import ClusterServer, ValkeyCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESTRICTED = (
    "user careful on nopass ~* &* +@all -info",
    "user curious on nopass ~* &* +@all -cluster",
    "user blind on nopass ~* &* +@all -cluster|slots",
)
"""Users that may not do everything."""


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    """A cluster of three servers, for tests that leave it as it was."""
    cluster = ValkeyCluster(lambda: ClusterServer(tmp_path_factory.mktemp("valkey"), *RESTRICTED))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()


@pytest.fixture
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ValkeyCluster]]:
    """A function that makes a cluster of the test's own, with so many primaries."""
    made: list[ValkeyCluster] = []

    def make(primaries: int) -> ValkeyCluster:
        made.append(
            ValkeyCluster(lambda: ClusterServer(tmp_path_factory.mktemp("valkey"), *RESTRICTED), primaries)
        )
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()
