"""The listener and the log: `listen:` and `log:` of `gateway.yaml`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (pydantic evaluates annotations)
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.config.models.base import DAY, ConfigModel, Name, Number, WholeNumber, refusal


def _one_worker(workers: int) -> int:
    if workers > 1:
        fact = "more than one worker needs a broker between processes, which is still to come"
        raise refusal(fact, workers, ", limit 1")
    return workers


class TlsConfig(ConfigModel):
    """The certificate and key with which the port serves `https` and `wss` instead of `http` and `ws`.

    A path that is not absolute is taken from the folder of the file that names it.
    """

    certificate: Path = Field(
        description="Path of the PEM file with the certificate, followed by its intermediate certificates.",
    )
    key: Path = Field(description="Path of the PEM file with the certificate's private key, not encrypted.")

    @field_validator("certificate", "key", mode="after")
    @classmethod
    def _from_folder_of_file(cls, path: Path, info: ValidationInfo) -> Path:
        folder = (info.context or {}).get("folder")
        return path if folder is None else folder / path


class ListenConfig(ConfigModel):
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
    workers: Annotated[WholeNumber, AfterValidator(_one_worker)] = Field(
        default=1,
        ge=1,
        json_schema_extra={"maximum": 1},
        description="Number of worker processes. Only 1 for now: more need a broker between processes.",
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
    max_connections: WholeNumber = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Most connections that one node keeps open. Above it the answer is 503.",
    )
    drain_seconds: Number = Field(
        default=5,
        ge=0,
        le=3600,
        description="Seconds over which connections are closed, evenly, at a stop. 0 closes all at once.",
    )


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
