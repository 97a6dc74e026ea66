"""Tests of how many workers `auto` stands for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gateway.app.cores import count_cores, count_workers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with eight cores, of which this process may run on six."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5})


def test_a_number_is_itself() -> None:
    """A number of workers is not judged by the machine."""
    assert count_workers(30) == 30
    assert count_workers("auto") == count_cores()


def test_cores_that_this_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process is bound to counts, where the system knows that."""
    assert count_cores(()) == 6
    monkeypatch.delattr(os, "sched_getaffinity")
    assert count_cores(()) == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores(()) == 1


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 6),
        ("100000 100000", 1),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 6),
        ("0 0", 6),
        ("-1 100000", 6),
        ("nonsense", 6),
        ("", 6),
    ],
)
def test_a_containers_share_counts(tmp_path: Path, quota: str, cores: int) -> None:
    """A control group's share of CPU time, rounded up, is a limit; what cannot be read is none."""
    file = tmp_path / "cpu.max"
    file.write_text(f"{quota}\n")
    assert count_cores([(file,)]) == cores


def test_a_share_in_two_files(tmp_path: Path) -> None:
    """Version 1 of control groups writes quota and period apart; a file that is missing is no limit."""
    quota, period = tmp_path / "quota", tmp_path / "period"
    quota.write_text("300000\n")
    assert count_cores([(quota, period)]) == 6
    period.write_text("100000\n")
    assert count_cores([(tmp_path / "missing",), (quota, period)]) == 3
