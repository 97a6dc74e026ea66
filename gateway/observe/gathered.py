"""Figures as plain data, and those of several workers put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gateway.observe.families import FAMILIES, WORKER, Kind

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

__all__ = ["Figures", "Gathered", "from_plain", "to_plain"]

Value: TypeAlias = "float | list[float]"
"""A number; of a histogram the counts of its buckets, each alone, and behind them the sum."""

Figures: TypeAlias = "dict[str, dict[tuple[str, ...], Value]]"
"""By family and values of the labels. A worker's own say nothing of the label `worker`."""

_ENDED: Final = "gateway_workers_ended_total"


def to_plain(figures: Figures) -> dict[str, list[list[Any]]]:
    """Give figures as JSON can carry them."""
    return {
        name: [[list(labels), value] for labels, value in found.items()] for name, found in figures.items()
    }


def from_plain(plain: dict[str, list[list[Any]]]) -> Figures:
    """Give figures that JSON has carried."""
    return {name: {tuple(labels): value for labels, value in found} for name, found in plain.items()}


class Gathered:
    """The figures of all workers. What a worker has counted outlives it.

    Whoever shows only what is gathered here shows counters that never fall: a worker's own figures come in
    the order in which it read them, and with its end the last ones move to those that stay.
    """

    def __init__(self) -> None:
        self._lives: dict[Hashable, tuple[str, Figures]] = {}
        self._ended: Figures = {_ENDED: {(): 0}}

    def take(self, life: Hashable, worker: str, figures: Figures) -> None:
        """Take the newest figures of a worker's life.

        Args:
            life: The process: another one with the number of this one begins at nothing.
            worker: Its number.
            figures: All that it has.
        """
        self._lives[life] = (worker, figures)

    def of(self, life: Hashable) -> Figures | None:
        """Give the newest figures of a worker's life; `None` if there are none."""
        found = self._lives.get(life)
        return None if found is None else found[1]

    def end(self, life: Hashable, *, replaced: bool = True) -> None:
        """Keep what a worker has counted, and forget the rest: it has ended.

        Args:
            life: As in `take`.
            replaced: Whether nobody told it to, so that another takes its place. Default: yes.
        """
        worker, figures = self._lives.pop(life, ("", {}))
        counted = {name: found for name, found in figures.items() if FAMILIES[name].kind is not Kind.GAUGE}
        self._ended = _merged([(None, self._ended), (worker, counted), (None, {_ENDED: {(): int(replaced)}})])

    def merged(self) -> Figures:
        """Give the figures of all workers together."""
        return _merged([(None, self._ended), *self._lives.values()])


def _merged(parts: Iterable[tuple[str | None, Figures]]) -> Figures:
    """Add figures up; those of a worker get its number, and those of none have it already."""
    merged: Figures = {}
    for worker, figures in parts:
        for name, found in figures.items():
            family = FAMILIES[name]
            own = WORKER in family.labels
            into = merged.setdefault(name, {})
            for plain, value in found.items():
                labels = (*plain, worker) if own and worker is not None else plain
                former = into.get(labels)
                if former is None or (own and family.kind is Kind.GAUGE):
                    # While a worker drains another may have its number: the newer one stands for it.
                    into[labels] = list(value) if isinstance(value, list) else value
                elif isinstance(former, list):
                    assert isinstance(value, list)  # noqa: S101 - of one family
                    into[labels] = [one + other for one, other in zip(former, value, strict=True)]
                else:
                    assert not isinstance(value, list)  # noqa: S101
                    into[labels] = former + value
    return merged
