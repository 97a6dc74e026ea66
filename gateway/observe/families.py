"""Every family of figures that `/metrics` gives, in one place: name, kind, labels, and how workers add up.

`deploy/METRICS.md` says of each what a bad value looks like and what to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["FAMILIES", "HANDLER_SECONDS", "LAG_SECONDS", "LIMITS", "OTHER", "WORKER", "Family", "Kind"]

WORKER: Final = "worker"
"""The label that tells the workers apart; it is put on where the figures of all workers come together."""

OTHER: Final = "other"
"""The value of a label that stands for all values that are not known beforehand."""

LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LIMITS: Final = (
    "max_connections",
    "max_connections_of_route",
    "max_connections_per_address",
    "max_connections_per_user",
    "handshakes_per_second",
    "handshakes_per_second_per_address",
    "max_handshakes",
    "max_handshakes_per_address",
    "opening_timeout_seconds",
    "max_header_bytes",
    "max_header_lines",
    "max_token_bytes",
    "max_groups",
    "max_waiting",
    "max_body_bytes",
    "login_attempts",
    "max_message_bytes",
    "max_fragments",
    "message_timeout_seconds",
    "message_rate",
    "max_pings_per_second",
    "pong_timeout_seconds",
    "handler_timeout_seconds",
    "event_timeout_seconds",
    "max_events_under_way",
    "send_queue_bytes",
    "open_files",
)
"""The values of the label `limit`: keys of `gateway.yaml`, but for `max_connections_of_route`, the key
`max_connections` of a route, `message_rate`, which stands for `messages_per_second` and
`bytes_per_second`, `login_attempts`, those at the dashboard after wrong tokens, and `open_files`, the
system's own limit of descriptors."""

HANDLER_SECONDS: Final = (0.00001, 0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)


class Kind(StrEnum):
    """What a family's values do. The values are Prometheus's own words."""

    COUNTER = "counter"
    """They only grow; those of a worker that has ended stay in the sum."""
    GAUGE = "gauge"
    """They come and go with their worker."""
    HISTOGRAM = "histogram"
    """Counters of observations by size."""


@dataclass(frozen=True, slots=True)
class Family:
    """A family of figures. The values of several workers are added up, unless `worker` is a label.

    Args:
        name: As it is given, a counter's with `_total`.
        kind: What the values do.
        text: What they count, in one sentence.
        labels: Names of the labels, each of which has few values, known beforehand.
        bounds: Upper bounds of a histogram's buckets, without the last, which is endless.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _counter(name: str, text: str, *labels: str) -> Family:
    return Family(f"gateway_{name}_total", Kind.COUNTER, text, labels)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(f"gateway_{name}", Kind.GAUGE, text, labels)


def _histogram(name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Family:
    return Family(f"gateway_{name}", Kind.HISTOGRAM, text, labels, bounds)


FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        # The processes.
        _gauge("info", "Always 1; the version of the gateway and of Python.", "version", "python"),
        _gauge("worker_start_time_seconds", "When a worker started, since the epoch.", WORKER),
        _gauge("worker_ready", "Whether a worker takes new connections: 1 or 0.", WORKER),
        _counter("workers_ended", "Workers that have ended and been replaced, but for reloads."),
        _counter("worker_cpu_seconds", "CPU time of a worker, user and system.", WORKER),
        _gauge("worker_resident_bytes", "Memory of a worker that is in RAM.", WORKER),
        _gauge("worker_open_files", "File descriptors that a worker has open, sockets among them.", WORKER),
        _gauge("worker_max_files", "File descriptors that a worker may have open.", WORKER),
        _histogram(
            "loop_lag_seconds",
            "How late a timer of an event loop runs, looked at ten times a second.",
            LAG_SECONDS,
        ),
        _gauge(
            "worker_loop_lag_seconds",
            "The longest that a worker's event loop was late in the last 15 to 30 seconds.",
            WORKER,
        ),
        # Connections.
        _gauge("connections", "Connections that are open.", "route"),
        _gauge("worker_connections", "Connections that a worker has open.", WORKER),
        _gauge("max_connections", "Connections that may be open, over all workers."),
        _counter("connections_opened", "Connections that were opened.", "route"),
        _counter(
            "connections_closed",
            "Connections that have ended, by who closed (client, handler, gateway, network) and close code.",
            "by",
            "code",
        ),
        _counter(
            "opening_handshakes",
            "Opening handshakes by outcome (accepted, refused) and the reason of a refusal.",
            "outcome",
            "reason",
        ),
        _gauge("opening_handshakes_under_way", "TCP connections whose request is not decided yet."),
        _counter(
            "limits",
            "Times that a limit turned something away: a connection, a message, a client.",
            "limit",
        ),
        # Messages.
        _counter("messages", "Messages from clients (in) and to clients (out).", "direction"),
        _counter(
            "bytes",
            "Bytes from and to the sockets of connections, frames' headers included and TLS not.",
            "direction",
        ),
        _counter("publications", "Publications to groups that had a member on a worker.", "pattern"),
        _counter("deliveries", "Messages put into send queues by publications.", "pattern"),
        _gauge("send_queue_bytes", "Bytes that wait for clients that read slowly."),
        _gauge("slow_connections", "Connections whose client reads slower than is sent."),
        _counter("send_queue_overflows", "Send queues found full, by overflow policy.", "policy"),
        _counter("messages_dropped", "Messages thrown away at full send queues."),
        # Plugins.
        _histogram(
            "handler_seconds",
            "How long events of handlers take, waits included; of messages a sample.",
            HANDLER_SECONDS,
            "plugin",
            "handler",
            "event",
        ),
        _counter(
            "handler_errors",
            "Events of handlers that failed, by kind (error, timeout).",
            "plugin",
            "handler",
            "kind",
        ),
        _counter(
            "opening_checks_failed",
            "Ways to authenticate and admission hooks that failed, by kind (error, timeout).",
            "plugin",
            "check",
            "kind",
        ),
        _counter(
            "loop_blocks",
            "Times that something held up an event loop, by the line of the plugin that did.",
            "plugin",
            "file",
            "line",
        ),
        _gauge("plugin_events_under_way", "Events of a plugin that wait for something.", "plugin"),
        _gauge("plugin_stopped", "Workers at which a plugin is stopped, since it fails.", "plugin"),
        _counter("plugin_stops", "Times that a plugin was stopped, since it failed.", "plugin"),
        _counter(
            "plugin_turned_away",
            "Connections closed with 1013 in place of an event, by reason (stopped, events).",
            "plugin",
            "reason",
        ),
        _gauge(
            "plugin_library_tasks",
            "Tasks that libraries have begun in events of a plugin, and keep after the connections.",
            "plugin",
        ),
        _counter("plugin_tasks_left", "Tasks that outlived their connections, or their events.", "plugin"),
        _gauge(
            "plugin_thread_calls",
            "Calls of run_in_thread and asyncio.to_thread that run, or wait for a thread.",
            "plugin",
            "state",
        ),
        # The broker, and history.
        _gauge("broker_up", "Whether a worker's broker has proved lately that it carries: 1 or 0.", WORKER),
        _gauge("broker_round_trip_seconds", "How long a worker's last probe took.", WORKER),
        _counter("broker_reconnects", "Connections to the broker made in place of another."),
        _counter("broker_gaps", "Times that publications of other nodes may have been missed."),
        _counter("broker_publications_lost", "Publications that could not be sent to other nodes."),
        _counter(
            "broker_publications_unproved",
            "Publications on their way when a connection to the broker ended.",
        ),
        _counter("broker_publications_refused", "Publications that the broker would not keep."),
        _counter("broker_messages_dropped", "Messages from the broker thrown away, by reason.", "reason"),
        _counter("recoveries", "Clients that came back for what they had missed, by outcome.", "outcome"),
        _counter("history_gaps", "Times that members of a group with history were told of a gap."),
        _counter("history_holes", "Holes in what the broker brought of a group with history."),
        _counter("history_repeats", "Publications that came a second time, and were not delivered again."),
        # Proofs and certificates.
        _counter("jwks_failures", "Fetches of an issuer's keys that failed.", "issuer"),
        _gauge("certificate_end_seconds", "When a certificate ends, since the epoch.", "file"),
        _counter("certificate_reload_failures", "Changed certificates that did not load."),
    )
}
"""By name."""
