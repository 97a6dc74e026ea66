"""Taking a handler through nasty conversations, and telling what went wrong."""

from __future__ import annotations

import asyncio
import re
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from gateway.testing.client import short
from gateway.testing.conversations import CONVERSATIONS, Stage
from gateway.testing.served import serve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType

    from gateway.config import GatewayConfig
    from gateway.plugin.handler import Handler
    from gateway.testing.client import Client
    from gateway.testing.served import Served

__all__ = ["ConversationsError", "check"]

_PATIENCE_SECONDS: Final = 10.0
_SHOWN: Final = 3
_CLOSE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.005
_FRAME: Final = re.compile(r"^  File .*(?:\n    .*)?", re.MULTILINE)
_PARAMETER: Final = re.compile(r"\{\w+\}")
_LEAKED: Final = 20
_BLOCKED: Final = "loop_blocked"
_BLOCK_SECONDS: Final = 3.0
"""The collector of a process with thousands of tests has been seen to take half a second."""


class ConversationsError(AssertionError):
    """Conversations in which a handler did harm.

    Args:
        where: What was served.
        count: Of how many conversations.
        faults: What went wrong, by the name of the conversation.
    """

    def __init__(self, where: str, count: int, faults: Mapping[str, Sequence[str]]) -> None:
        lines = [f"{len(faults)} of {count} conversations went wrong at {where}"]
        told: dict[str, str] = {}
        for name, found in faults.items():
            lines += ["", f"{name}: {_sentence(name)}"]
            for fault in found:
                first = told.setdefault(fault, name)
                text = fault if first == name else f"as in {first!r}: {fault.partition(chr(10))[0]}"
                lines += [f"    {line}" for line in text.splitlines()]
        super().__init__("\n".join(lines))
        self.where = where
        self.faults = faults


async def check(
    folder: Path,
    what: str | Path | type[Handler[Any]],
    *,
    at: str | None = None,
    messages: Sequence[str | bytes] = (),
    skip: Collection[str] = (),
    connect: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Take a handler through nasty conversations, one after the other, while a witness stays connected.

    In each of them no event and no task of the handler may raise or run out of time, no call may block the
    event loop, no code of a plugin hold it up for `log: block_warning_seconds` (3 where the configuration
    does not say), the witness has to be served afterwards, and nothing may be left of those who are gone.

    Args:
        folder: An empty folder, for the configuration file.
        what: A handler class, or a configuration, as for `serve`.
        at: The path to connect to; `None` for that of the first route.
        messages: Messages that the handler takes. They are sent as they are, and cut and bent.
        skip: Names of conversations that are left out.
        connect: What every client connects with: `token`, `headers`, `origin` and the like.
        options: The other ones of `serve`.

    Raises:
        ConversationsError: With every conversation that went wrong, and how.
        ValueError: If `skip` names a conversation that there is not.
    """
    unknown = sorted(set(skip) - set(CONVERSATIONS))
    if unknown:
        raise ValueError(f"no such conversations: {', '.join(unknown)}; there are {', '.join(CONVERSATIONS)}")
    chosen = {name: talk for name, talk in CONVERSATIONS.items() if name not in skip}
    faults: dict[str, list[str]] = {}
    async with serve(folder, what, **({"change": _hasten} | options)) as served:
        path = served.path if at is None else at
        checked = _Checked(served, path, messages, dict(connect or {}))
        with _blocking_is_an_error(served.handlers):
            await checked.begin()
            for name, talk in chosen.items():
                found = await checked.hold(talk)
                if found:
                    faults[name] = found
        await checked.end()
    if faults:
        raise ConversationsError(path, len(chosen), faults)


class _Checked:
    """A handler that is served, and the witness.

    Args:
        served: The gateway.
        path: Where clients connect.
        messages: Messages that the handler takes.
        connect: What clients connect with.
    """

    def __init__(
        self, served: Served, path: str, messages: Sequence[str | bytes], connect: Mapping[str, Any]
    ) -> None:
        self._served = served
        self._path = path
        self._messages = messages
        self._connect = connect
        self._seen = 0
        self._homes = [_home(module) for module in _packages(served.handlers)]
        self._witness: Client

    async def _client(self) -> Client:
        return await self._served.client(self._path, **self._connect)

    def _limit(self) -> int:
        """Give the most bytes of a message that the route takes."""
        routes = self._served.config.routes
        fits = (route for route in routes if re.fullmatch(_PARAMETER.sub("[^/]+", route.path), self._path))
        return next(fits, routes[0]).limits.max_message_bytes

    async def begin(self) -> None:
        """Connect the witness."""
        self._witness = await self._client()

    async def end(self) -> None:
        """Let it go."""
        await self._witness.close()

    async def hold(self, talk: Any) -> list[str]:
        """Hold one conversation; give what went wrong."""
        found: list[str] = []
        metrics = self._served.node.metrics
        failures = metrics.handler_errors
        stage = Stage(self._client, self._messages, self._limit(), lambda: metrics.handler_errors)
        tasks = asyncio.all_tasks()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await talk(stage)
        except TimeoutError:
            found.append(f"the conversation was not over after {_PATIENCE_SECONDS:g} seconds")
        except Exception as exc:  # noqa: BLE001 - whatever it is, the report names it
            found.append(f"the client failed with {type(exc).__name__}: {exc}")
        found += await self._left_over(stage)
        found += await self._harm_to_the_witness()
        found += self._leaked_tasks(tasks)
        return [*self._logged(stage, failures), *found]

    async def _left_over(self, stage: Stage) -> list[str]:
        """Wait until the gateway has nothing left of those who are gone."""
        node = self._served.node
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while len(node.sockets) > 1 or node.event_tasks:  # noqa: ASYNC110 - they have no event
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            left = len(node.sockets) - 1
            told = f"{left} connections" if left else f"{len(node.event_tasks)} events that wait"
            return [f"left after {_PATIENCE_SECONDS:g} seconds: {told}"]
        finally:
            for client in stage.clients:
                client.drop()
        return []

    async def _harm_to_the_witness(self) -> list[str]:
        try:
            await self._witness.arrive()
        except AssertionError as exc:
            self._witness = await self._client()
            return [f"the witness, who did nothing: {exc}"]
        return []

    @staticmethod
    def _leaked_tasks(before: Collection[asyncio.Task[Any]]) -> list[str]:
        """Find tasks that nobody ends: as many as clients of a conversation, so none of the plugin's own."""
        left = [task for task in asyncio.all_tasks() if task not in before and not task.done()]
        if len(left) < _LEAKED:
            return []
        return [
            f"left: {len(left)} tasks, such as {left[0].get_coro()}; connection.start_task would end them"
        ]

    def _logged(self, stage: Stage, failure: int) -> Iterator[str]:
        """Give what the log says of faults since the last conversation, each kind once.

        Args:
            stage: Knows what was sent.
            failure: The number of the first failure that may be logged.
        """
        lines = self._served.log[self._seen :]
        self._seen += len(lines)
        told: dict[str, list[str]] = {}
        for line in filter(_is_fault, lines):
            after = told.setdefault(self._told(line), [])
            if line["event"] == "handler_failed":
                message = stage.said_before(failure)
                failure += 1
                if message is not None:
                    after.append(short(message))
        for text, after in told.items():
            more = f" and {len(after) - _SHOWN} more" if len(after) > _SHOWN else ""
            yield f"{text}\n  after {', '.join(after[:_SHOWN])}{more}" if after else text

    def _told(self, line: Mapping[str, Any]) -> str:
        """Give a line of the log for the report: what failed, whose it is, and where in his code."""
        # How long a loop was held up by then is another number each time.
        facts = ("plugin", "function") if line["event"] == _BLOCKED else ("handler", "seconds")
        named = ", ".join([str(line["event"]), *(f"{name} {line[name]}" for name in facts if name in line)])
        trace = str(line.get("exception", "")).rstrip()
        if not trace:
            return f"{named}\n  at {line['where']}" if "where" in line else named
        frames: list[str] = _FRAME.findall(trace)
        own = [frame for frame in frames if any(home in frame for home in self._homes)] or frames
        return "\n".join([named, *own[-1:], f"  {trace.splitlines()[-1]}"])


def _is_fault(line: Mapping[str, Any]) -> bool:
    """Tell whether a line of the log is of something that a plugin did wrong."""
    if line["event"] == _BLOCKED:
        return line["plugin"] is not None  # the clients of the test are on the same loop
    return bool(line["level"] == "error")


def _sentence(name: str) -> str:
    return str(CONVERSATIONS[name].__doc__).rstrip(".")


def _hasten(config: GatewayConfig) -> GatewayConfig:
    """Give up on closing handshakes soon, unless the route says when: some conversations never answer.

    And be patient with the event loop, unless the log says how long: a test's process has much else to do.
    """
    routes = [
        route
        if "close_timeout_seconds" in route.limits.model_fields_set
        else route.model_copy(
            update={"limits": route.limits.model_copy(update={"close_timeout_seconds": _CLOSE_SECONDS})}
        )
        for route in config.routes
    ]
    log = config.log
    if "block_warning_seconds" not in log.model_fields_set:
        log = log.model_copy(update={"block_warning_seconds": _BLOCK_SECONDS})
    return config.model_copy(update={"routes": tuple(routes), "log": log})


def _blocking_is_an_error(handlers: Sequence[type[Handler[Any]]]) -> AbstractContextManager[Any]:
    """Have calls that block raise where a handler's package makes them, if blockbuster is installed."""
    try:
        from blockbuster import blockbuster_ctx  # noqa: PLC0415 - may not be installed
    except ImportError:
        return nullcontext()
    modules = _packages(handlers)
    # Without a module it would look everywhere.
    return blockbuster_ctx(modules) if modules else nullcontext()


def _packages(handlers: Sequence[type[Handler[Any]]]) -> list[ModuleType]:
    """Give the packages that handlers are of, or their modules where that is a mere folder."""
    found: list[ModuleType] = []
    for handler in handlers:
        module = sys.modules[handler.__module__]
        top = sys.modules.get(module.__name__.partition(".")[0], module)
        found.append(top if getattr(top, "__file__", None) else module)
    return found


def _home(module: ModuleType) -> str:
    """Give the beginning of the names of a package's files."""
    return str(module.__path__[0] if hasattr(module, "__path__") else module.__file__)
