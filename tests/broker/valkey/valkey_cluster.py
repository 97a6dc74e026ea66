"""A real Valkey Cluster on free ports."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from valkey.connection import Connection
from valkey.crc import key_slot
from valkey_server import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATIENCE_SECONDS = 20
SLOTS = 16384


class ClusterServer(ValkeyServer):
    """A server that may be one of a cluster.

    Args:
        folder: An empty folder of its own.
        config: Lines of its configuration.
    """

    def __init__(self, folder: Path, *config: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.bus = free.getsockname()[1]
        # One that is stopped, or starved of CPU by other tests, is not given up by the others.
        own = ("cluster-enabled yes", f"cluster-port {self.bus}", "cluster-node-timeout 60000")
        own = (*own, "repl-diskless-sync-delay 0")
        super().__init__(folder, *own, *config)
        self._name = ""

    def ask(self, *command: str | int) -> Any:
        """Ask it something, past the gateway."""
        connection = Connection(host="127.0.0.1", port=self.port)
        connection.connect()
        with closing(connection._sock):
            connection.send_command(*command)
            return connection.read_response()

    def facts(self, *command: str) -> dict[str, str]:
        """Ask it for lines of names and values."""
        lines = self.ask(*command).decode().splitlines()
        return dict(line.partition(":")[::2] for line in lines)

    @property
    def name(self) -> str:
        """By what name the cluster knows it."""
        self._name = self._name or self.ask("CLUSTER", "MYID").decode()
        return self._name


class ValkeyCluster:
    """A cluster of primaries with an equal part of the slots each.

    Args:
        make: Makes a server, which is not started.
        primaries: How many.
    """

    def __init__(self, make: Callable[[], ClusterServer], primaries: int = 3) -> None:
        self._make = make
        self.servers = [make() for _ in range(primaries)]

    @property
    def urls(self) -> list[str]:
        """The URLs of the servers."""
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start it, and wait until it is whole."""
        for server in self.servers:
            server.start()
        self.assign()
        for number, server in enumerate(self.servers):
            self._meet(server, self.servers[:number])
        self.wait()

    def assign(self) -> None:
        """Give each server its part of the slots."""
        for number, server in enumerate(self.servers):
            first, end = (SLOTS * one // len(self.servers) for one in (number, number + 1))
            server.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)

    def _meet(self, server: ClusterServer, others: list[ClusterServer]) -> None:
        for other in others:
            server.ask("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)

    def add_primary(self) -> ClusterServer:
        """Start another server, which has no slots yet."""
        added = self._make()
        added.start()
        self._meet(added, self.servers)
        self.servers.append(added)
        self.wait()
        return added

    def add_replica(self, of: ClusterServer) -> ClusterServer:
        """Start another server, which copies what one of them has."""
        replica = self.add_primary()
        replica.ask("CLUSTER", "REPLICATE", of.name)
        wait(lambda: replica.facts("INFO").get("master_link_status") == "up")
        self.wait()
        return replica

    def wait(self) -> None:
        """Wait until every server knows all, has a line of the bus to each, and agrees on the slots."""
        wait(lambda: len({self._owners(server) for server in self.servers}) == 1)
        count = len(self.servers)
        for server in self.servers:
            wait(lambda server=server: server.facts("CLUSTER", "INFO")["cluster_state"] == "ok")
            wait(lambda server=server: server.ask("CLUSTER", "NODES").count(b" connected") == count)
            wait(lambda server=server: len(server.ask("CLUSTER", "LINKS")) == 2 * (count - 1))

    @staticmethod
    def _owners(server: ClusterServer) -> tuple[tuple[int, int, bytes], ...]:
        told = server.ask("CLUSTER", "SLOTS")
        return tuple(sorted((first, last, primary[2]) for first, last, primary, *_ in told))

    @staticmethod
    def slot(key: str) -> int:
        """Give the slot of a key."""
        return key_slot(key.encode())

    def of(self, key: str) -> ClusterServer:
        """Give the server that has a key, as the first one of them knows it."""
        slot = self.slot(key)
        for first, last, primary, *_ in self.servers[0].ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.name == primary[2].decode())
        raise AssertionError(slot)

    def begin_to_move(self, slot: int, source: ClusterServer, target: ClusterServer) -> None:
        """Begin to move a slot, as `valkey-cli --cluster reshard` does."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.name)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.name)

    def move_keys(self, source: ClusterServer, target: ClusterServer, keys: list[str | bytes]) -> None:
        """Move some of a slot's keys."""
        for key in keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

    def move(self, slot: int, source: ClusterServer, target: ClusterServer) -> None:
        """Move a slot."""
        self.begin_to_move(slot, source, target)
        self.move_keys(source, target, source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1000))
        self.end_to_move(slot, source, target)

    def end_to_move(self, slot: int, source: ClusterServer, target: ClusterServer) -> None:
        """Have the slot belong to the target."""
        for server in (target, source):
            server.ask("CLUSTER", "SETSLOT", slot, "NODE", target.name)

    def end(self) -> None:
        """End every server."""
        for server in self.servers:
            server.end()


def wait(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, in a thread."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
