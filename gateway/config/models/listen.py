"""The listener and the log: `listen:` and `log:` of `gateway.yaml`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from gateway.config.models.base import (
    DAY,
    EMPTY_WHEN_NULL,
    ConfigModel,
    LocalPath,
    Name,
    Number,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.forms import check_file_mode
from gateway.config.models.listen_limits import ListenLimits
from gateway.config.models.rules import unix_findings
from gateway.config.models.tls import TlsConfig  # noqa: TC001  (pydantic evaluates annotations)


def _kind_of_count(value: Any) -> str:
    return "word" if isinstance(value, str) and not value.isdecimal() else "number"


WorkerCount = Annotated[
    Annotated[Annotated[WholeNumber, Field(ge=1, le=256)], Tag("number")]
    | Annotated[Literal["auto"], Tag("word")],
    Discriminator(_kind_of_count),
]
"""A number, or `auto`: of two alternatives, only the one that was meant has something to say of a mistake."""


class ListenConfig(ListenLimits):
    """Where the gateway listens, and what it bears before a connection is open."""

    host: Name = Field(
        default="127.0.0.1",
        description="Address or host name to listen on. The default is reached from this machine only.",
    )
    port: WholeNumber = Field(
        default=8000,
        ge=0,
        le=65_535,
        description="TCP port to listen on. 0 lets the system pick a free one.",
    )
    unix: LocalPath | None = Field(
        default=None,
        description="Path of a unix-domain socket to listen on, in place of host and port. Default: none.",
    )
    unix_mode: Annotated[str, AfterValidator(check_file_mode)] = Field(
        default="0660",
        description="Permissions of that socket's file, in octal: who may write to it may connect.",
    )
    workers: WorkerCount = Field(
        default=1,
        description="Number of worker processes, or `auto` for one on each core that the gateway may use. "
        "A supervisor starts them and replaces those that die.",
    )
    worker_start_seconds: Number = Field(
        default=60,
        ge=1,
        le=DAY,
        description="Seconds within which a worker has to be ready. A plugin that still starts shortly "
        "before is named; after them the worker is killed.",
    )
    worker_hang_seconds: Number = Field(
        default=10,
        ge=0.5,
        le=DAY,
        description="Seconds for which the event loop of a worker may not answer. After them the worker is "
        "killed and replaced.",
    )
    backlog: WholeNumber = Field(
        default=1024,
        ge=1,
        le=65_535,
        description="Number of TCP connections that the system queues until the gateway accepts them.",
    )
    tls: TlsConfig | None = Field(
        default=None,
        description="Certificate and key for `wss`. The default, null, serves plain `ws`.",
    )
    opening_timeout_seconds: Number = Field(
        default=10,
        gt=0,
        le=DAY,
        description="Seconds from accepting TCP to the end of the opening handshake, TLS included.",
    )
    max_header_bytes: WholeNumber = Field(
        default=8192,
        ge=256,
        le=1_048_576,
        description="Most bytes that a request's line and headers may take. Above it the answer is 431.",
    )
    max_header_lines: WholeNumber = Field(
        default=100,
        ge=1,
        le=10_000,
        description="Most header lines that a request may have. Above it the answer is 431.",
    )
    drain_seconds: Number = Field(
        default=5,
        ge=0,
        le=3600,
        description="Seconds over which connections are closed, evenly, at a stop or a reload. 0 closes all "
        "at once.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        raise_findings("ListenConfig", unix_findings(given, self.trusted_proxies))
        return self


class LogConfig(ConfigModel):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="Lowest level that is logged: debug, info, warning or error.",
    )
    format: Literal["json", "console"] = Field(
        default="json",
        description="Form of a log line: `json` for machines, one object a line, or `console` for people.",
    )
    block_warning_seconds: Number = Field(
        default=0.5,
        ge=0,
        le=DAY,
        description="Seconds for which a plugin may hold up an event loop before a warning names it, with "
        "file and line. 0 never warns.",
    )
    levels: Annotated[Mapping[Name, Literal["debug", "info", "warning", "error"]], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        description="Lowest levels of single loggers, by name: the gateway's own, as `gateway.connections`, "
        "and those of plugins and libraries. One holds for those below it too. Default: none are set.",
    )
