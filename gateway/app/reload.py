"""Judging what a reload would serve: in a child process, so that no plugin's new code comes into this one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gateway.app.embedding import can_be_embedded, longest_message
from gateway.app.worker_process import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.config import GatewayConfig

__all__ = ["Findings", "Outcome", "judge_in_child", "takes_restart"]

_FIXED: Final = ("host", "port", "unix", "unix_mode")


@dataclass(frozen=True)
class Findings:
    """What a child process has found of gateway.yaml.

    Args:
        good: Whether it could be served.
        problems: Lines with what is wrong, and what needs attention.
        changes: Lines with what would change.
        text: What was judged.
    """

    good: bool
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    text: str = ""

    def line(self) -> bytes:
        """Give them as a line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Findings:
        """Read them from a line.

        Raises:
            ValueError: If it is none.
        """
        told = json.loads(line)
        return cls(told["good"], tuple(told["problems"]), tuple(told["changes"]), told["text"])


@dataclass(frozen=True)
class Outcome:
    """What became of a reload.

    Args:
        good: Whether the new configuration is served; else the former one still is.
        at: When it was done, in seconds since the epoch.
        seconds: How long it took until the new workers served.
        problems: Lines with what is wrong, and what needs attention.
        changes: Lines with what has changed.
    """

    good: bool
    at: float
    seconds: float
    problems: tuple[str, ...]
    changes: tuple[str, ...]

    def to_plain(self) -> dict[str, Any]:
        """Give it as JSON can carry it."""
        return asdict(self)


async def judge_in_child(config: str, former: str, seconds: float) -> Findings:
    """Have gateway.yaml read and judged, and its plugins imported, by a fresh process.

    Args:
        config: The path of gateway.yaml.
        former: The text that is served.
        seconds: For how long it may take.

    Raises:
        OSError: If the system starts no process.
    """
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *interpreter(),
                *("-m", "gateway", "judge", "--config", config),
                *("--parent", str(os.getpid()), "--line", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        try:
            async with asyncio.timeout(seconds):
                answer = await _converse(ours, former)
            return Findings.from_line(answer)
        except TimeoutError:
            return Findings(False, (f"the check of {config} was not done within {seconds:g} seconds",))
        except (OSError, ValueError, KeyError, TypeError):
            return Findings(False, (f"the check of {config} has failed, standard error may say why",))
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _converse(line: socket.socket, text: str) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(line, text.encode())
    line.shutdown(socket.SHUT_WR)
    answer = b""
    while not answer.endswith(b"\n"):
        more = await loop.sock_recv(line, 65_536)
        if not more:
            raise ValueError("no answer")
        answer += more
    return answer


def takes_restart(
    former: GatewayConfig, new: GatewayConfig, *, addressed: frozenset[str], most_bytes: int | None
) -> Iterator[str]:
    """Give a line for each change that a reload cannot make.

    Args:
        former: The configuration with which the gateway has started.
        new: The one that it would serve.
        addressed: The sections whose address comes from options of the command.
        most_bytes: Longest message that the embedded broker takes; `None` while there is none.
    """
    pairs: list[tuple[str, Any, Any]] = []
    if "listen" not in addressed:
        pairs += [(f"listen.{key}", getattr(former.listen, key), getattr(new.listen, key)) for key in _FIXED]
    pairs += [
        ("listen.workers", former.listen.workers, new.listen.workers),
        ("data_folder", former.data_folder, new.data_folder),
        ("runtime_folder", former.runtime_folder, new.runtime_folder),
    ]
    if "admin" not in addressed:
        pairs += [
            (f"admin.{key}", getattr(former.admin, key), getattr(new.admin, key)) for key in ("host", "port")
        ]
    if most_bytes is not None:
        pairs.append(("broker.type", former.broker.type, new.broker.type))
    for name, old, wanted in pairs:
        if old != wanted:
            yield f"{name} changes from {_shown(old)} to {_shown(wanted)}: that takes a restart"
    if most_bytes is None or new.broker.type != "memory":
        return
    if not can_be_embedded(new):
        yield "broker.type is memory now, and the embedded broker is in use: that takes a restart"
    elif longest_message(new) > most_bytes:
        yield (
            f"the longest message grows to {longest_message(new)} bytes, above what the embedded broker was "
            f"started for, {most_bytes}: that takes a restart"
        )


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
