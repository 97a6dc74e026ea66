"""Tests of the systemd units: systemd's own judgement, and that commands, times and limits fit."""

from __future__ import annotations

import shlex
import sys
from configparser import RawConfigParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from shipped import DEPLOY, SECRETS
from typer import Context
from typer.main import get_command

from gateway.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable

UNITS = DEPLOY / "systemd"
INSTALLED = "/opt/gateway/bin/gateway"
MOST_EXPOSED = 20  # tenths of the 10.0 that systemd gives a unit without any protection


class _Lists(dict):  # type: ignore[type-arg]  # configparser wants a class of dictionaries
    """Keys that may come several times, each a list of its values."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)


def unit(name: str) -> RawConfigParser:
    """Read a unit."""
    found = RawConfigParser(strict=False, dict_type=_Lists, delimiters=("=",), comment_prefixes=("#",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string((UNITS / name).read_text("utf-8"))
    return found


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """Both units, with the gateway of this environment in them."""
    here = Path(sys.executable).parent / "gateway"
    files = []
    for name in ("gateway.service", "gateway.socket"):
        files.append(tmp_path / name)
        files[-1].write_text(
            (UNITS / name).read_text("utf-8").replace(INSTALLED, str(here)), encoding="utf-8"
        )
    return files


@pytest.mark.tools
def test_systemd_finds_nothing(judge: Callable[..., str], installed: list[Path]) -> None:
    """Verifying both says nothing: every key is known, every value good, every program there."""
    assert (
        judge("systemd-analyze", "systemd", "verify", "--man=no", "--recursive-errors=no", *installed) == ""
    )


@pytest.mark.tools
def test_the_service_is_hardly_exposed(judge: Callable[..., str], installed: list[Path]) -> None:
    """Systemd's own measure of what a unit may do is low."""
    judge(
        "systemd-analyze",
        "systemd",
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSED}",
        installed[0],
    )


@pytest.mark.parametrize("key", ["ExecStartPre", "ExecStart", "ExecReload"])
def test_its_commands_are_the_gateways(key: str) -> None:
    """Each command is one of the gateway's, with options that it has."""
    program, name, *arguments = shlex.split(unit("gateway.service")["Service"][key])
    assert program == INSTALLED
    group = get_command(app)
    command = group.get_command(Context(group), name)  # type: ignore[attr-defined]
    command.make_context(name, arguments, resilient_parsing=False)


def test_readiness_watchdog_and_end_are_systemds() -> None:
    """The service tells when it is ready, is watched, and its workers are not signalled beside it."""
    service = unit("gateway.service")["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) >= 10
    assert service["KillMode"] == "mixed"
    assert int(service["TimeoutStopSec"]) >= 60 + 5 + 5


def test_limits_let_the_configuration_be_reached() -> None:
    """Descriptors and the queues of socket and kernel are as much as the image's file asks for."""
    from gateway.app.prepare import prepare  # noqa: PLC0415 - only here

    listen = prepare(DEPLOY / "gateway.yaml", SECRETS).config.listen
    lines = (UNITS / "gateway.sysctl").read_text("utf-8").splitlines()
    kernel = dict(line.split(" = ") for line in lines if " = " in line)
    assert (
        int(unit("gateway.service")["Service"]["LimitNOFILE"])
        >= listen.max_connections + listen.max_handshakes
    )
    assert int(unit("gateway.socket")["Socket"]["Backlog"]) >= listen.backlog
    assert int(kernel["net.core.somaxconn"]) >= listen.backlog
    assert int(kernel["fs.nr_open"]) >= int(unit("gateway.service")["Service"]["LimitNOFILE"])


def test_user_and_folders_are_those_of_the_unit() -> None:
    """The user that sysusers makes is the one that the service runs as."""
    kind, name, *_ = shlex.split((UNITS / "gateway.sysusers").read_text("utf-8").splitlines()[-1])
    assert (kind, name) == ("u", unit("gateway.service")["Service"]["User"])
    assert unit("gateway.socket")["Install"]["WantedBy"] == "sockets.target"
