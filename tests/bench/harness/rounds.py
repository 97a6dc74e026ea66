"""The rounds: each starts every server anew, and each measure goes round the servers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import client, machine, recipes
from harness.errors import BenchError, PeerMissing
from harness.servers import started
from harness.targets import GATEWAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.measures import Measure
    from harness.servers import Running, Server
    from harness.targets import Samples


@dataclass
class Run:
    """What is to be measured, and what came of it.

    Args:
        measures: in their order.
        servers: in their order.
        rounds: how many.
        seconds: length of one window.
        every_round: whether that which hardly varies is measured in each round all the same.
        say: is told of the progress, a line at a time.
    """

    measures: list[Measure]
    servers: list[Server]
    rounds: int
    seconds: float
    every_round: bool
    say: Callable[[str], None]
    samples: Samples = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """The peers that this machine does not have, and why."""
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """By measure and peer, what failed; it is not tried again."""

    def prepare(self) -> None:
        """Make what the peers need, and go on without those that cannot be had."""
        for server in self.servers:
            try:
                if server.recipe:
                    recipes.prepare(server.name, server.recipe, self.say)
            except PeerMissing as error:
                self.miss(server, str(error))
        self.servers = [server for server in self.servers if server.name not in self.missing]

    def miss(self, server: Server, reason: str) -> None:
        """Leave a peer out."""
        self.missing[server.name] = reason
        self.say(f"{server.name} is left out: {reason}")

    def measure(self) -> None:
        """Take all samples.

        Raises:
            BenchError: the gateway or the load client failed.
        """
        machine.raise_file_limit()
        server_core, client_core = machine.cores()
        load = client.Client(client.build(), client_core)
        for number in range(1, self.rounds + 1):
            where = f"round {number}/{self.rounds}"
            self._share(load, server_core, self._due(number, fresh=False), where)
            for measure in self._due(number, fresh=True):
                self._share(load, server_core, [measure], where)

    def _due(self, number: int, *, fresh: bool) -> list[Measure]:
        due = [each for each in self.measures if number == 1 or self.every_round or not each.once]
        return [each for each in due if each.fresh is fresh]

    def _share(self, load: client.Client, core: int | None, measures: list[Measure], where: str) -> None:
        """Start the servers and take the samples of some measures from them."""
        with ExitStack() as stack:
            running = self._start(stack, core, measures)
            for measure in measures:
                self._go_round(load, measure, running, where)

    def _start(self, stack: ExitStack, core: int | None, due: list[Measure]) -> list[Running]:
        running = []
        for server in [each for each in self.servers if any(measure.fits(each) for measure in due)]:
            try:
                running.append(stack.enter_context(started(server, core)))
            except BenchError as error:
                if server.name == GATEWAY:
                    raise
                # What is unpacked may still lack a library, or a right, that only running it shows.
                self.miss(server, str(error).strip().splitlines()[-1])
                self.servers.remove(server)
        return running

    def _go_round(self, load: client.Client, measure: Measure, running: list[Running], where: str) -> None:
        due = [
            each
            for each in running
            if measure.fits(each.server) and (measure.name, each.server.name) not in self.failures
        ]
        if not due:
            return
        planned = measure.plan(load, due, self.seconds) if measure.plan else {}
        for each in due:
            name = each.server.name
            try:
                sample = measure.sample(load, each, self.seconds, planned)
            except BenchError as error:
                if name == GATEWAY:
                    raise
                self.failures[measure.name, name] = str(error)
                self.say(f"{where}  {error}")
                continue
            self.samples.setdefault((measure.name, name), []).append(sample)
            self.say(f"{where}  {measure.name:<13} {name:<11} {sample.value:>12,.0f}")
