"""What the processes of gateways hold, and whether it has grown: memory, descriptors, tasks, children."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from real_gateway import RealGateway

_LOOKS = 5
"""Of some looks the least is taken: handshakes, closing sockets and the tasks of timers come and go."""
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Held:
    """What one process holds; `None` is not known, or not compared.

    Args:
        resident: Bytes in memory.
        files: Descriptors, without those of a worker's connections.
        tasks: Of a worker's event loop.
        children: Processes, with those that have ended and were not waited for.
        sockets: Of the descriptors, those that are sockets; of a broker, its clients.
    """

    resident: int | None = None
    files: int | None = None
    tasks: int | None = None
    children: int | None = None
    sockets: int | None = None

    def __str__(self) -> str:
        told = [f"{self.resident / 2**20:.1f} MiB"] if self.resident is not None else []
        told += [
            f"{getattr(self, one.name)} {one.name}"
            for one in fields(self)
            if one.name != "resident" and getattr(self, one.name) is not None
        ]
        return ", ".join(told)


async def look(gateways: Sequence[RealGateway], broker: int) -> dict[str, Held]:
    """Give what each process holds, by its name: supervisors, workers, and the broker."""
    found = {"broker": least(Held(sockets=_sockets(broker)) for _ in range(_LOOKS))}
    for place, gateway in enumerate(gateways):
        found[f"gateway {place}, supervisor"] = least(_of_supervisor(gateway.pid) for _ in range(_LOOKS))
        for slot, pid in sorted(gateway.workers.items()):
            found[f"gateway {place}, worker {slot}"] = await _of_worker(gateway, pid)
    return found


def _of_supervisor(pid: int) -> Held:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Held(_resident(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())), children=len(children))


async def _of_worker(gateway: RealGateway, pid: int) -> Held:
    """Ask a worker, which counts descriptors, connections and tasks in one turn of its loop."""
    looks: list[Held] = []
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while len(looks) < _LOOKS:
            async with connect(gateway.url("/press"), proxy=None) as socket:
                await socket.send("figures")
                told = json.loads(await socket.recv())
            if told["pid"] == pid:
                looks.append(Held(_resident(pid), told["files"] - told["connections"], told["tasks"]))
    return least(looks)


def _resident(pid: int) -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def _sockets(pid: int) -> int:
    count = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += str(one.readlink()).startswith("socket:")
        except FileNotFoundError:  # closed meanwhile
            continue
    return count


def least(looks: Iterable[Held]) -> Held:
    """Give the least of each figure."""
    several = list(looks)
    smallest: dict[str, int] = {}
    for one in fields(Held):
        values = [value for each in several if (value := getattr(each, one.name)) is not None]
        if values:
            smallest[one.name] = min(values)
    return Held(**smallest)


def grown(
    when: str, former: Mapping[str, Held], now: Mapping[str, Held], most: Mapping[str, Held]
) -> list[str]:
    """Give what has grown by more than it may.

    Args:
        when: What the faults begin with.
        former: The base line, by process.
        now: What they hold now.
        most: By how much each figure may have grown, by the last word but number of the process's name;
            `None` is not judged.
    """
    faults = []
    for name, held in now.items():
        bounds = most[re.sub(r" \d+$", "", name).rpartition(" ")[2]]
        for one in fields(Held):
            ago, at = getattr(former[name], one.name), getattr(held, one.name)
            bound = getattr(bounds, one.name)
            if None not in (ago, at, bound) and at > ago + bound:
                faults.append(f"{when}, {name}: {at:,} {one.name}, at first {ago:,}, {bound:,} more are good")
    return faults
