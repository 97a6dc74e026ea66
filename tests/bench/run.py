"""The benchmark: `make bench`, or `.venv/bin/python tests/bench/run.py --help`."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from harness import client, machine, report
from harness.errors import BenchError
from harness.measures import MEASURES, Measure
from harness.servers import SERVERS, Server, started
from rich.console import Console

if TYPE_CHECKING:
    from harness.targets import Samples

MEASURE_NAMES = ", ".join(measure.name for measure in MEASURES)
SERVER_NAMES = ", ".join(server.name for server in SERVERS)

progress = Console(stderr=True, highlight=False)


def main(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Measure only this; repeatable: {MEASURE_NAMES}.")
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option(help=f"Run only this; repeatable: {SERVER_NAMES}.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; default 3, with --full 5.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="A window; default 1.5, with --full 5.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Five long rounds, memory in each: about ten minutes.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 when a target is missed.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole run to this file.")
    ] = None,
) -> None:
    """Measure the gateway beside its peers, per second of server CPU, and print ratios and targets."""
    measures = chosen(MEASURES, only, "measure")
    servers = chosen(SERVERS, server, "server")
    rounds = rounds or (5 if full else 3)
    seconds = seconds or (5.0 if full else 1.5)
    # A terminated run unwinds like an interrupted one, so that its servers end with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    described = machine.describe()
    try:
        samples = measure_all(measures, servers, rounds, seconds, every_round=full)
    except BenchError as error:
        progress.print(f"bench: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    tables = Console(width=None if sys.stdout.isatty() else 160)
    tables.print(report.figures_table(samples, [each.name for each in servers]))
    verdicts = report.verdicts(samples)
    if verdicts:
        tables.print(report.targets_table(samples))
    tables.print(machine_line(described), highlight=False)
    if json_file:
        settings = {"rounds": rounds, "seconds": seconds, "full": full}
        json_file.write_text(json.dumps(report.as_json(samples, described, settings), indent=2) + "\n")
    if strict and not all(verdict.met for verdict in verdicts):
        raise typer.Exit(2)


def chosen(table: tuple[Any, ...], names: list[str] | None, kind: str) -> list[Any]:
    """Return the named entries in the table's order; all of them for no names."""
    known = [entry.name for entry in table]
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"no {kind} {name!r}; there are {', '.join(known)}")
    return [entry for entry in table if not names or entry.name in names]


def measure_all(
    measures: list[Measure], servers: list[Server], rounds: int, seconds: float, *, every_round: bool
) -> Samples:
    """Take all samples: a round starts every server anew, and each measure goes round the servers."""
    machine.raise_file_limit()
    server_core, client_core = machine.cores()
    load = client.Client(client.build(), client_core)
    samples: Samples = {}
    for number in range(1, rounds + 1):
        due = [measure for measure in measures if number == 1 or every_round or not measure.once]
        with ExitStack() as stack:
            running = [stack.enter_context(started(server, server_core)) for server in servers] if due else []
            for measure in due:
                for each in running:
                    name = each.server.name
                    sample = measure.sample(load, each, seconds)
                    samples.setdefault((measure.name, name), []).append(sample)
                    progress.print(
                        f"round {number}/{rounds}  {measure.name:<11} {name:<11} {sample.value:>12,.0f}"
                    )
    return samples


def machine_line(described: dict[str, Any]) -> str:
    """Return the machine's description in one line, with a warning when it was not quiet."""
    text = "{processor}, {cores} cores, Linux {kernel}, Python {python}".format(**described)
    if described["load_average"] > 0.5:
        text += f"; load average {described['load_average']:.1f} at the start: not a quiet machine"
    return text


if __name__ == "__main__":
    typer.run(main)
