"""The tables on the terminal, and the same as JSON."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from harness.measures import MEASURES
from harness.targets import BASE, TARGETS, judge, ratios

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.measures import Sample
    from harness.rounds import Run
    from harness.targets import Samples, Verdict

TITLES = {measure.name: measure.title for measure in MEASURES}


def figures_table(samples: Samples, servers: Sequence[str]) -> Table:
    """Return one row for each measure and server: the figure, its spread, and what stands beside it."""
    table = Table(
        title="figures: per second of server CPU; p99 in microseconds; memory in bytes", title_justify="left"
    )
    table.add_column("work")
    table.add_column("server")
    for heading in (
        "median",
        "spread",
        f"x {BASE}",
        "a second",
        "p50 ms",
        "p99 ms",
        "server busy",
        "client busy",
    ):
        table.add_column(heading, justify="right")
    for measure in MEASURES:
        taken = {
            server: samples[measure.name, server] for server in servers if (measure.name, server) in samples
        }
        for server, own in taken.items():
            title = measure.title if server == next(iter(taken)) else ""
            ratio = ratios(samples, (measure.name, server), (measure.name, BASE))
            table.add_row(
                title, server, *_figure(own), f"{median(ratio):.2f}" if ratio else "", *_beside(own)
            )
        table.add_section()
    return table


def _figure(taken: list[Sample]) -> tuple[str, str]:
    values = [sample.value for sample in taken]
    return f"{median(values):,.0f}", f"{min(values):,.0f} .. {max(values):,.0f}"


def _beside(taken: list[Sample]) -> list[str]:
    """Return throughput, latencies and shares of a core; nothing for a measure without a window."""
    if "seconds" not in taken[0].details:
        return []

    def middle(name: str, divisor: float = 1) -> float:
        return median(sample.details[name] / divisor for sample in taken)

    window = middle("seconds")
    return [
        f"{middle('count') / window:,.0f}",
        f"{middle('p50_us', 1000):.2f}",
        f"{middle('p99_us', 1000):.2f}",
        f"{middle('server_cpu_seconds') / window:.0%}",
        f"{middle('client_cpu_seconds') / window:.0%}",
    ]


def targets_table(samples: Samples) -> Table:
    """Return one row for each target that this run can judge."""
    table = Table(title="targets of the gateway, on a quiet machine", title_justify="left")
    table.add_column("work")
    for heading in ("target", "median", "spread", ""):
        table.add_column(heading, justify="right")
    for verdict in verdicts(samples):
        text, unit = _bound(verdict)
        digits = ".2f" if verdict.target.is_ratio else ",.0f"
        table.add_row(
            TITLES[verdict.target.measure],
            text,
            f"{verdict.middle:{digits}}{unit}",
            f"{verdict.lowest:{digits}} .. {verdict.highest:{digits}}",
            "[green]met[/green]" if verdict.met else "[red]missed[/red]",
        )
    return table


def _bound(verdict: Verdict) -> tuple[str, str]:
    target = verdict.target
    sign, bound = ("≥", target.at_least) if target.at_least is not None else ("≤", target.at_most)
    if not target.is_ratio:
        return f"{sign} {bound:,g} bytes", " bytes"
    if target.base is None:
        return f"{sign} {bound:,g} x {target.peer}", " x"
    base = TITLES[target.base]
    return f"{sign} {bound:,g} x {base}" + (f", beside {target.peer}" if target.peer else ""), " x"


def verdicts(samples: Samples) -> list[Verdict]:
    """Return the verdicts on all targets that this run can judge."""
    return [verdict for target in TARGETS if (verdict := judge(samples, target)) is not None]


def unjudged(samples: Samples) -> list[str]:
    """Return the targets that this run cannot judge, since a peer or a measure was left out."""
    return [
        f"{target.measure}" + "".join(f" beside {each}" for each in (target.base, target.peer) if each)
        for target in TARGETS
        if judge(samples, target) is None
    ]


def as_json(run: Run, machine: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the whole run: the machine, the settings, each sample, medians, ratios and verdicts."""
    samples = run.samples
    measured: dict[str, Any] = {}
    for measure in MEASURES:
        servers = {}
        for (name, server), taken in samples.items():
            if name == measure.name:
                ratio = ratios(samples, (name, server), (name, BASE))
                servers[server] = {
                    "median": median(sample.value for sample in taken),
                    "ratio": median(ratio) if ratio else None,
                    "rounds": [asdict(sample) for sample in taken],
                }
        if servers:
            measured[measure.name] = {
                "title": measure.title,
                "unit": measure.unit,
                "better": measure.better,
                "servers": servers,
            }
    return {
        "machine": machine,
        "settings": settings,
        "peers": {server.name: server.recipe.parts for server in run.servers if server.recipe},
        "left_out": run.missing,
        "failed": {" ".join(which): text for which, text in run.failures.items()},
        "ratios_to": BASE,
        "measures": measured,
        "targets": [asdict(verdict) for verdict in verdicts(samples)],
    }
