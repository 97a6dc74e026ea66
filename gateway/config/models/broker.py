"""What carries publications between nodes: `broker:` of `gateway.yaml`, one model for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    model_validator,
)

from gateway.config.models.base import (
    UNIQUE,
    ConfigModel,
    Flag,
    LocalPath,
    Name,
    Number,
    WholeNumber,
    raise_findings,
    refusal,
)
from gateway.config.models.forms import check_broker_prefix, check_nats_url, check_valkey_url
from gateway.config.models.rules import broker_findings, broker_tls_findings
from gateway.config.models.secrets import EMPTY_TEXT_WHEN_NULL

if TYPE_CHECKING:
    from pathlib import Path

_EMPTY = SecretStr("")

_IDEMPOTENCY_SECONDS = Annotated[Number, Field(ge=1, le=86_400)]


class MemoryBrokerConfig(ConfigModel):
    """The broker of one node: publications go nowhere else."""

    type: Literal["memory"] = Field(
        default="memory",
        description="Kind of broker: `nats`, `valkey` (or `redis`), a plugin's, or `memory`, by which one "
        "worker does without. Where none is named, a gateway with several workers, or whose groups keep "
        "history or presence, or with the way `ticket`, starts a broker of its own.",
    )
    idempotency_seconds: _IDEMPOTENCY_SECONDS = Field(
        default=120,
        description="Seconds for which a publication is known by its idempotency key. Default: 120.",
    )

    @model_validator(mode="before")
    @classmethod
    def _type_is_given(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data and "type" not in data:
            raise refusal("type is missing")
        return data


class BrokerTlsConfig(ConfigModel):
    """TLS towards the broker; `{}` is enough where its certificate comes from a public authority."""

    ca: LocalPath | None = Field(
        default=None,
        description="Path of the PEM file with the authorities that the broker's certificate must come from. "
        "The default, null, takes those of the system.",
    )
    certificate: LocalPath | None = Field(
        default=None,
        description="Path of the PEM file with the certificate that the gateway shows. Default: null, none.",
    )
    key: LocalPath | None = Field(
        default=None,
        description="Path of the PEM file with its private key, not encrypted. Default: null, none.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = broker_tls_findings(
            certificate=self.certificate is not None,
            key=self.key is not None,
        )
        raise_findings("BrokerTlsConfig", findings)
        return self


class LinkedBrokerConfig(ConfigModel):
    """What brokers have in common that are reached over the network."""

    urls: tuple[str, ...] = Field(
        min_length=1,
        description="Servers of the broker; whichever answers is used, and another when it fails.",
    )
    prefix: Annotated[str, AfterValidator(check_broker_prefix)] = Field(
        default="gateway",
        description="How all names begin that the gateway uses there. Nodes with one prefix are one gateway.",
    )
    required: Flag = Field(
        default=False,
        description="Whether a start without the broker fails, and opening handshakes are refused while it "
        "is down. Default: no, the node serves what it has, and `/readyz` tells.",
    )
    when_down: Literal["local", "refuse"] = Field(
        default="local",
        description="What a publication does while the broker is down: `local` reaches this node's members, "
        "`refuse` fails and reaches no one.",
    )
    user: Annotated[str, EMPTY_TEXT_WHEN_NULL] = Field(
        default="",
        description="User name at the broker. Default: empty, none.",
    )
    password: Annotated[SecretStr, EMPTY_TEXT_WHEN_NULL] = Field(
        default=_EMPTY,
        description="Password at the broker, from the environment. Default: empty, none.",
    )
    tls: BrokerTlsConfig | None = Field(
        default=None,
        description="TLS towards the broker. The default, null, is what the scheme of the URL says.",
    )
    max_message_bytes: WholeNumber = Field(
        default=1_048_576,
        ge=1024,
        le=67_108_864,
        description="Most bytes of one message between nodes, some 40 for its envelope included. A longer "
        "publication fails, a longer message that arrives is dropped.",
    )
    send_buffer_bytes: WholeNumber = Field(
        default=8_388_608,
        ge=65_536,
        le=1_073_741_824,
        description="Most bytes of publications that wait to be sent to the broker. Above it they are lost "
        "to other nodes, and counted. Those to groups with history have as much for themselves; above it "
        "publishing fails.",
    )
    connect_timeout_seconds: Number = Field(
        default=2,
        gt=0,
        le=60,
        description="Seconds that one try to connect may take, TLS included. Default: 2.",
    )
    probe_interval_seconds: Number = Field(
        default=2,
        gt=0,
        le=60,
        description="Seconds between two probes, which the node sends to itself through the broker. After "
        "two of them without an answer `/readyz` says so. Default: 2.",
    )
    probe_timeout_seconds: Number = Field(
        default=4,
        gt=0,
        le=60,
        description="Seconds that a probe may take; then the connection is made anew. Default: 4.",
    )
    idempotency_seconds: _IDEMPOTENCY_SECONDS = Field(
        default=120,
        description="Seconds for which a publication is known by its idempotency key. Default: 120.",
    )

    def given(self) -> frozenset[str]:
        """Give the keys of credentials that are not left empty."""
        return frozenset(key for key in self.credential_keys() if _is_given(getattr(self, key)))

    @classmethod
    def credential_keys(cls) -> tuple[str, ...]:
        """Give the keys of credentials that this kind of broker takes."""
        return tuple(
            key
            for key in ("user", "password", "token", "credentials_file", "nkey_file")
            if key in cls.model_fields
        )


def _is_given(value: SecretStr | str | Path | None) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


class NatsBrokerConfig(LinkedBrokerConfig):
    """NATS: a server, or a cluster of them."""

    type: Literal["nats"] = Field(description="Kind of broker.")
    urls: Annotated[tuple[Annotated[str, AfterValidator(check_nats_url)], ...], UNIQUE] = Field(
        default=("nats://127.0.0.1:4222",),
        min_length=1,
        description="Servers of the cluster, as `nats://HOST:PORT`, or `tls://HOST:PORT` for TLS. Whichever "
        "answers is used, and another when it fails. Default: one on this machine.",
    )
    token: Annotated[SecretStr, EMPTY_TEXT_WHEN_NULL] = Field(
        default=_EMPTY,
        description="Token in place of user and password, from the environment. Default: empty, none.",
    )
    credentials_file: LocalPath | None = Field(
        default=None,
        description="Path of a file with a JWT and the seed of its NKey, as `nsc` writes it. Default: null.",
    )
    nkey_file: LocalPath | None = Field(
        default=None,
        description="Path of a file with the seed of an NKey. Default: null.",
    )
    tls_first: Flag = Field(
        default=False,
        description="Whether TLS comes before the server's first line, as where it has `handshake_first`. "
        "Default: no.",
    )
    history_storage: Literal["file", "memory"] = Field(
        default="file",
        description="Where JetStream keeps the history of groups: `file`, or `memory`, lost with the server.",
    )
    history_replicas: WholeNumber = Field(
        default=1,
        ge=1,
        le=5,
        description="How many servers of a cluster keep each publication of groups with history. Default: 1.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        raise_findings("NatsBrokerConfig", broker_findings("nats", self.given()))
        return self

    @property
    def secure(self) -> bool:
        """Whether TLS is asked for."""
        return self.tls is not None or self.tls_first or any(url.startswith("tls:") for url in self.urls)


class ValkeyBrokerConfig(LinkedBrokerConfig):
    """Valkey, or Redis: a server, or a cluster of them."""

    type: Literal["valkey", "redis"] = Field(description="Kind of broker.")
    urls: Annotated[tuple[Annotated[str, AfterValidator(check_valkey_url)], ...], UNIQUE] = Field(
        default=("valkey://127.0.0.1:6379",),
        min_length=1,
        description="A primary and the servers that may take its place, or servers of a cluster, as "
        "`valkey://HOST:PORT`, or `valkeys://HOST:PORT` for TLS. Whichever answers is used, and another when "
        "it fails. Default: one on this machine.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        raise_findings("ValkeyBrokerConfig", broker_findings("valkey", self.given()))
        return self

    @property
    def secure(self) -> bool:
        """Whether TLS is asked for."""
        return self.tls is not None or any(url.startswith(("valkeys:", "rediss:")) for url in self.urls)


class PluginBrokerConfig(ConfigModel):
    """A broker that a plugin gives; what stands beside `type` is checked against its own model."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any] = Field(init=False)

    type: Name = Field(description="Name of the broker, as the plugin gives it.")

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        # Its settings may hold secrets that only the plugin's model knows to be some.
        return [("type", self.type)]


_TAGS: Final = {"memory": "memory", "nats": "nats", "valkey": "valkey", "redis": "valkey"}

BUILT_IN_BROKERS: Final = frozenset(_TAGS)
"""The values of `type` that need no plugin."""


def built_in_broker(name: str) -> type[ConfigModel]:
    """Give the model of a broker of `BUILT_IN_BROKERS`."""
    models: dict[str, type[ConfigModel]] = {
        "memory": MemoryBrokerConfig,
        "nats": NatsBrokerConfig,
        "valkey": ValkeyBrokerConfig,
    }
    return models[_TAGS[name]]


def _kind(value: Any) -> str:
    given = value.get("type", "memory") if isinstance(value, Mapping) else getattr(value, "type", "memory")
    return _TAGS.get(given, "plugin") if isinstance(given, str) else "plugin"


AnyBrokerConfig: TypeAlias = Annotated[
    Annotated[MemoryBrokerConfig, Tag("memory")]
    | Annotated[NatsBrokerConfig, Tag("nats")]
    | Annotated[ValkeyBrokerConfig, Tag("valkey")]
    | Annotated[PluginBrokerConfig, Tag("plugin")],
    Discriminator(_kind),
]
"""What `broker:` may be; `type` says which."""
