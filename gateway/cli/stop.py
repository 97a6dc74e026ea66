"""`gateway stop`: end the gateway that runs."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.asking import ask_or_exit
from gateway.cli.common import ConfigFile  # noqa: TC001  (typer evaluates annotations)

__all__ = ["stop"]

_LAST_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.01


def stop(
    config: ConfigFile = Path("gateway.yaml"),
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Do not wait for the connections to end, as at a second signal.")
    ] = False,
) -> None:
    """End the gateway that runs with gateway.yaml, as SIGTERM does, and wait for its end."""
    with closing(ask_or_exit(config, do="stop", at_once=at_once)) as answer:
        answer.wait_for_end()
        _wait_for(int(answer.told["pid"]))


def _wait_for(pid: int) -> None:
    """Wait until a process that is about to end has ended."""
    deadline = time.monotonic() + _LAST_SECONDS
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except OSError:
            return
        time.sleep(_LOOK_SECONDS)
