"""The figures of this process, read from where they are counted."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from gateway import __version__
from gateway.config.models import Overflow
from gateway.observe.families import LIMITS
from gateway.protocol.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.core.node import Node
    from gateway.core.route import Route
    from gateway.core.watch import Watch
    from gateway.observe.gathered import Figures
    from gateway.observe.histogram import Histogram

__all__ = ["FigureReader"]

_PLUGIN: Final = "plugin"
"""The reason of a refusal that is a plugin's own: only its author knows how many there are."""
_DROPPED: Final = ("junk", "late", "own", "too_big", "version")
_OUTCOMES: Final = ("bad_token", "not_kept", "other_groups", "recovered", "too_much", "unavailable")
_KINDS: Final = ("error", "timeout")
_REASONS: Final = ("events", "stopped")
_Values: TypeAlias = dict[tuple[str, ...], float | list[float]]


class FigureReader:
    """What reads the figures of a node. Once costs some 0.1 ms, whatever the number of connections.

    Args:
        node: The node.
        routes: Its routes.
        watch: What looks at its event loop.
        max_connections: How many it may have open.
        under_way: Gives how many TCP connections have a request that is not decided.
        issuers: Those whose keys are fetched.
    """

    def __init__(
        self,
        node: Node,
        routes: Sequence[Route],
        watch: Watch,
        *,
        max_connections: int,
        under_way: Callable[[], int],
        issuers: Sequence[str] = (),
    ) -> None:
        self._node = node
        self._routes = tuple(routes)
        self._watch = watch
        self._max_connections = max_connections
        self._under_way = under_way
        self._issuers = tuple(issuers)

    def read(self) -> Figures:
        """Give them as they are now; those that are known beforehand are there from the start, at 0."""
        return {
            **self._process(),
            **self._connections(),
            **self._messages(),
            **self._handlers(),
            **self._broker(),
            **self._proofs(),
        }

    def _process(self) -> Figures:
        node = self._node
        watch = self._watch
        takes = not node.draining and not (node.needs_broker and node.broker_is_down)
        return {
            "gateway_info": {(__version__, platform.python_version()): 1},
            "gateway_worker_start_time_seconds": {(): node.started_at},
            "gateway_worker_ready": {(): int(takes)},
            "gateway_worker_cpu_seconds_total": {(): time.process_time()},
            "gateway_worker_loop_lag_seconds": {(): watch.longest},
            "gateway_loop_lag_seconds": {(): _plain(watch.lag)},
            **_of_system(),
        }

    def _connections(self) -> Figures:
        metrics = self._node.metrics
        refused = dict.fromkeys((*REFUSALS, _PLUGIN), 0)
        for error, count in metrics.refusals.items():
            refused[error if error in REFUSALS else _PLUGIN] += count
        return {
            "gateway_connections": {(route.name,): route.connections for route in self._routes},
            "gateway_worker_connections": {(): metrics.connections},
            "gateway_max_connections": {(): self._max_connections},
            "gateway_connections_opened_total": {(route.name,): route.opened for route in self._routes},
            "gateway_connections_closed_total": dict(metrics.ends.items()),
            "gateway_opening_handshakes_total": {
                ("accepted", ""): metrics.connections_opened,
                **{("refused", reason): count for reason, count in refused.items()},
            },
            "gateway_opening_handshakes_under_way": {(): self._under_way()},
            "gateway_limits_total": _counted(metrics.limits, LIMITS),
        }

    def _messages(self) -> Figures:
        node = self._node
        metrics = node.metrics
        groups = metrics.groups
        slow = node.flusher.paused
        return {
            "gateway_messages_total": {("in",): metrics.messages_in, ("out",): metrics.messages_out},
            "gateway_bytes_total": {("in",): metrics.bytes_in, ("out",): metrics.bytes_out},
            "gateway_publications_total": {(name,): tally.publications for name, tally in groups.items()},
            "gateway_deliveries_total": {(name,): tally.deliveries for name, tally in groups.items()},
            "gateway_send_queue_bytes": {(): sum(queue.queued_bytes for queue in slow)},
            "gateway_slow_connections": {(): len(slow)},
            "gateway_send_queue_overflows_total": _counted(
                metrics.overflows, [each.value for each in Overflow]
            ),
            "gateway_messages_dropped_total": {(): metrics.messages_dropped},
        }

    def _handlers(self) -> Figures:
        metrics = self._node.metrics
        errors: _Values = {
            (route.dispatch.plugin_of(handler), handler, kind): 0
            for route in self._routes
            for handler in route.dispatch.names
            for kind in _KINDS
        }
        errors.update(metrics.handler_failures.items())
        ways = self._node.guards.ways
        checks: _Values = {
            (ways.get(way, ""), way, kind): 0
            for route in self._routes
            for way, _ in route.authenticators
            for kind in _KINDS
        }
        checks.update(metrics.checks_failed.items())
        return {
            "gateway_handler_seconds": {key: _plain(found) for key, found in metrics.handler_seconds.items()},
            "gateway_handler_errors_total": errors,
            "gateway_opening_checks_failed_total": checks,
            **self._guards(),
        }

    def _guards(self) -> Figures:
        metrics = self._node.metrics
        guards = tuple(self._node.guards)
        away: _Values = {(guard.plugin, reason): 0 for guard in guards for reason in _REASONS}
        away.update(metrics.turned_away.items())
        blocks: _Values = {}
        blocks.update(dict(metrics.blocks).items())  # a copy, made at once: another thread counts there
        calls: _Values = {}
        for guard in guards:
            running, waiting = guard.thread_calls
            calls[guard.plugin, "running"] = running
            calls[guard.plugin, "waiting"] = waiting
        return {
            "gateway_loop_blocks_total": blocks,
            "gateway_plugin_events_under_way": {(guard.plugin,): guard.under_way for guard in guards},
            "gateway_plugin_stopped": {(guard.plugin,): int(guard.stopped) for guard in guards},
            "gateway_plugin_stops_total": {(guard.plugin,): guard.stops for guard in guards},
            "gateway_plugin_turned_away_total": away,
            "gateway_plugin_library_tasks": {
                (guard.plugin,): self._node.guards.kept_tasks.running[guard.plugin] for guard in guards
            },
            "gateway_plugin_tasks_left_total": _counted(
                metrics.tasks_left, [guard.plugin for guard in guards]
            ),
            "gateway_plugin_thread_calls": calls,
        }

    def _broker(self) -> Figures:
        node = self._node
        metrics = node.metrics
        status = node.broker.status
        trip = status.round_trip_seconds
        return {
            "gateway_broker_up": {(): int(not node.broker_is_down)},
            "gateway_broker_round_trip_seconds": {} if trip is None else {(): trip},
            "gateway_broker_reconnects_total": {(): status.reconnects},
            "gateway_broker_gaps_total": {(): metrics.broker_gaps},
            "gateway_broker_publications_lost_total": {(): status.publications_lost},
            "gateway_broker_publications_unproved_total": {(): status.publications_unproved},
            "gateway_broker_publications_refused_total": {(): status.publications_refused},
            "gateway_broker_messages_dropped_total": _counted(status.dropped, _DROPPED),
            "gateway_recoveries_total": _counted(metrics.recoveries, _OUTCOMES),
            "gateway_history_gaps_total": {(): metrics.publication_gaps},
            "gateway_history_holes_total": {(): metrics.publication_holes},
            "gateway_history_repeats_total": {(): metrics.publications_repeated},
        }

    def _proofs(self) -> Figures:
        metrics = self._node.metrics
        return {
            "gateway_jwks_failures_total": _counted(metrics.jwks_failures, self._issuers),
            "gateway_certificate_end_seconds": {
                (file,): ends for file, ends in metrics.certificate_expires_at.items()
            },
            "gateway_certificate_reload_failures_total": {(): metrics.certificate_reload_errors},
        }


def _counted(counts: Mapping[str, int], known: Sequence[str]) -> _Values:
    return {(name,): count for name, count in {**dict.fromkeys(known, 0), **counts}.items()}


def _plain(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.total]


def _of_system() -> Figures:
    """Give what Linux says of the process; what it does not say is left out."""
    found: Figures = {}
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["gateway_worker_resident_bytes"] = {(): pages * os.sysconf("SC_PAGE_SIZE")}
    with suppress(OSError):
        # Since Linux 6.2 it is their number; before, it is 0. To list ten thousand takes milliseconds.
        if files := Path("/proc/self/fd").stat().st_size:
            found["gateway_worker_open_files"] = {(): files}
    with suppress(ImportError):
        import resource  # noqa: PLC0415 - not there on Windows

        found["gateway_worker_max_files"] = {(): resource.getrlimit(resource.RLIMIT_NOFILE)[0]}
    return found
