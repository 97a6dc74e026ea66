"""The benchmark: `make bench`, or `.venv/bin/python tests/bench/run.py --help`."""

from __future__ import annotations

import json
import signal
import sys
import time
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from harness import machine, plot, report
from harness.errors import BenchError
from harness.measures import MEASURES
from harness.rounds import Run
from harness.servers import SERVERS
from rich.console import Console

if TYPE_CHECKING:
    from harness.measures import Measure
    from harness.servers import Server

MEASURE_NAMES = ", ".join(measure.name for measure in MEASURES)
SERVER_NAMES = ", ".join(server.name for server in SERVERS)

progress = Console(stderr=True, highlight=False)


class Peers(StrEnum):
    """Which peers run beside the gateway."""

    FEW = "few"
    ALL = "all"


def main(
    *,
    only: Annotated[
        list[str] | None, typer.Option(help=f"Measure only this; repeatable: {MEASURE_NAMES}.")
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option(help=f"Run only this; repeatable: {SERVER_NAMES}.")
    ] = None,
    peers: Annotated[
        Peers | None, typer.Option(help="all: also those to be downloaded; default few, with --full all.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds; default 3, with --full 5.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="A window; default 1.2, with --full 3.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Everything, beside all peers, in five rounds: about 20 minutes.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 2 when a target is missed.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole run to this file.")
    ] = None,
    plot_file: Annotated[
        Path | None, typer.Option("--plot", help="Draw throughput and latency into this PNG file.")
    ] = None,
) -> None:
    """Measure the gateway beside its peers, per second of server CPU, and print ratios and targets."""
    run = Run(
        measures=chosen_measures(only, full=full),
        servers=chosen_servers(server, every=full if peers is None else peers is Peers.ALL),
        rounds=rounds or (5 if full else 3),
        seconds=seconds or (3.0 if full else 1.2),
        every_round=full,
        say=lambda line: progress.print(line, markup=False, soft_wrap=True),
    )
    # A terminated run unwinds like an interrupted one, so that its servers end with it.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))
    described = machine.describe()
    began = time.monotonic()
    try:
        run.prepare()
        run.measure()
    except BenchError as error:
        progress.print(f"bench: {error}", markup=False, style="red", soft_wrap=True)
        raise typer.Exit(1) from error
    print_report(run, described, time.monotonic() - began)
    settings = {"rounds": run.rounds, "seconds": run.seconds, "full": full}
    written = json.dumps(report.as_json(run, described, settings), indent=2) + "\n"
    if json_file:
        json_file.write_text(written)
    try:
        if plot_file:
            plot.draw(written, plot_file.absolute(), run.say)
    except BenchError as error:
        run.failures["plot", str(plot_file)] = str(error)
        run.say(f"no plot: {error}")
    if run.failures:
        raise typer.Exit(1)
    if strict and not all(verdict.met for verdict in report.verdicts(run.samples)):
        raise typer.Exit(2)


def chosen_measures(names: list[str] | None, *, full: bool) -> list[Measure]:
    """Return the named measures in the table's order; without names, all of a short or a full run."""
    check_names(names, [measure.name for measure in MEASURES], "measure")
    return [each for each in MEASURES if (each.name in names if names else full or each.always)]


def chosen_servers(names: list[str] | None, *, every: bool) -> list[Server]:
    """Return the named servers in the table's order; without names, every one or those that always run."""
    check_names(names, [server.name for server in SERVERS], "server")
    return [each for each in SERVERS if (each.name in names if names else every or each.always)]


def check_names(names: list[str] | None, known: list[str], kind: str) -> None:
    """Refuse names that stand for nothing."""
    for name in names or ():
        if name not in known:
            raise typer.BadParameter(f"no {kind} {name!r}; there are {', '.join(known)}")


def print_report(run: Run, described: dict[str, Any], took: float) -> None:
    """Print the tables, what they leave out, and the machine."""
    tables = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    tables.print(report.figures_table(run.samples, [each.name for each in run.servers]))
    if report.verdicts(run.samples):
        tables.print(report.targets_table(run.samples))
    unjudged = report.unjudged(run.samples)
    if unjudged and run.every_round:
        tables.print(f"not judged: {', '.join(unjudged)}", markup=False)
    elif unjudged:
        tables.print(f"{len(unjudged)} targets were not judged: --full is for all of them")
    for name, reason in run.missing.items():
        tables.print(f"{name} was left out: {reason}", markup=False)
    for (measure, name), text in run.failures.items():
        tables.print(f"{name} failed at {measure}: {text.splitlines()[0]}", markup=False)
    minutes, left = divmod(round(took), 60)
    tables.print(f"{machine_line(described)}; took {minutes} min {left} s", markup=False)


def machine_line(described: dict[str, Any]) -> str:
    """Return the machine's description in one line, with a warning when it was not quiet."""
    text = "{processor}, {cores} cores, Linux {kernel}, Python {python}".format(**described)
    return text + machine.disturbance(described["load_average"])


if __name__ == "__main__":
    typer.run(main)
