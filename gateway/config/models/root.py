"""The whole of `gateway.yaml`, and the sections that are too small for a file of their own."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from dataclasses import replace
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.config.models.access import ApiConfig, AuthenticationConfig, RevocationConfig
from gateway.config.models.admin import AdminConfig
from gateway.config.models.base import EMPTY_WHEN_NULL, ConfigModel, Finding, LocalPath, Name, raise_findings
from gateway.config.models.broker import AnyBrokerConfig, MemoryBrokerConfig
from gateway.config.models.group_rules import pattern_findings, resume_findings
from gateway.config.models.groups import GroupPolicy, ResumeConfig
from gateway.config.models.listen import ListenConfig, LogConfig
from gateway.config.models.metrics import MetricsConfig
from gateway.config.models.plugin import PluginConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.route import RouteConfig
from gateway.config.models.rules import (
    address_findings,
    any_page_findings,
    certificate_findings,
    cookie_findings,
    cookie_place,
    routes_findings,
)
from gateway.config.models.ways.ticket import TicketWayConfig  # noqa: TC001  (pydantic evaluates annotations)


def _no_entries_when_null(value: Any) -> Any:
    return () if value is None else value


_NO_ENTRIES_WHEN_NULL = BeforeValidator(_no_entries_when_null)


class GatewayConfig(ConfigModel):
    """The whole of `gateway.yaml`. Every key may be left out."""

    listen: Annotated[ListenConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=ListenConfig,
        description="Where the gateway listens. Default: port 8000 of 127.0.0.1, without TLS.",
    )
    log: Annotated[LogConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=LogConfig,
        description="What is logged, and how. Default: from level info up, as JSON.",
    )
    routes: Annotated[tuple[RouteConfig, ...], _NO_ENTRIES_WHEN_NULL] = Field(
        default=(),
        description="Paths that clients may open, with their policy and handlers. Default: none.",
    )
    groups: Annotated[tuple[GroupPolicy, ...], _NO_ENTRIES_WHEN_NULL] = Field(
        default=(),
        description="Policies of groups by pattern; the first that matches holds. Default: none.",
    )
    broker: Annotated[AnyBrokerConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=MemoryBrokerConfig,
        description="What carries publications between nodes. Default: `memory`, for one node.",
    )
    api: Annotated[ApiConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=ApiConfig,
        description="The HTTP API. Default: off, since no token is set.",
    )
    admin: Annotated[AdminConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=AdminConfig,
        description="A listener of its own for the HTTP API, `/metrics` and the dashboard. Default: none.",
    )
    authentication: Annotated[AuthenticationConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=AuthenticationConfig,
        description="Settings of the built-in ways to prove an identity. Default: none set.",
    )
    revocation: Annotated[RevocationConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=RevocationConfig,
        description="What is done with revoked identities. Default: kept for a day, and lost at a restart.",
    )
    metrics: Annotated[MetricsConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=MetricsConfig,
        description="Figures for Prometheus, at `/metrics`. Default: for who may call the HTTP API.",
    )
    resume: Annotated[ResumeConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=ResumeConfig,
        description="Tokens by which clients say what they have. Default: good for five minutes, their key "
        "made up at each start.",
    )
    data_folder: LocalPath | None = Field(
        default=None,
        description="Path of the folder in which the embedded broker keeps its data, made at the start. The "
        "default, null, is a temporary folder that ends with the gateway.",
    )
    runtime_folder: LocalPath | None = Field(
        default=None,
        description="Path of the folder by which `gateway stop`, `reload` and `status` find the running "
        "gateway, made at the start. The default, null, is a folder of this file's own below "
        "$XDG_RUNTIME_DIR/gateway, /run/gateway where that may be written to, or the temporary folder.",
    )
    plugins: Annotated[Mapping[Name, Annotated[PluginConfig, EMPTY_WHEN_NULL]], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        description="Settings of installed plugins, by the plugin's name. Default: none set, all enabled.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = routes_findings([(route.path, route.name) for route in self.routes])
        findings += pattern_findings([policy.pattern for policy in self.groups])
        findings += resume_findings(
            self.broker.type,
            [route.envelope for route in self.routes],
            history=any(policy.history is not None for policy in self.groups),
            key=bool(self.resume.key.get_secret_value()),
        )
        for index, route in enumerate(self.routes):
            findings += [replace(one, path=("routes", index, *one.path)) for one in self._proofs(route)]
        ticket = self.authentication.ticket
        if ticket is not None:
            place = ("authentication", "ticket")
            findings += [replace(one, path=(*place, *one.path)) for one in self._proofs(ticket)]
        asked = self._certificates_asked()
        if self.admin.port is not None:
            asked = "none"  # its listener speaks no TLS
        useless = certificate_findings(self.api.authenticate, asked=asked)
        findings += [replace(one, path=("api", *one.path)) for one in useless]
        findings += address_findings(
            (self.listen.unix or self.listen.host, self.listen.port), (self.admin.host, self.admin.port)
        )
        raise_findings("GatewayConfig", findings)
        return self

    def takes_cookies(self, use: RouteConfig | TicketWayConfig) -> bool:
        """Tell whether a cookie may prove an identity on a route, or buy a ticket."""
        return self._cookie_place(use) is not None

    def _cookie_place(self, use: RouteConfig | TicketWayConfig) -> tuple[str | int, ...] | None:
        forward = self.authentication.forward
        forwarded = forward is not None and forward.forwards_cookies
        return cookie_place(use.authenticate, use.credentials_from, forwarded=forwarded)

    def _certificates_asked(self) -> str:
        tls = self.listen.tls
        return "none" if tls is None else tls.client_certificates

    def _proofs(self, use: RouteConfig | TicketWayConfig) -> list[Finding]:
        """Find ways to prove an identity that other sections make useless or unsafe."""
        findings = certificate_findings(use.authenticate, asked=self._certificates_asked())
        findings += any_page_findings(use.authenticate, origins=use.allowed_origins)
        by_cookie = self._cookie_place(use)
        if by_cookie is not None:
            missing = isinstance(use, RouteConfig) and use.allow_missing_origin
            findings += cookie_findings(by_cookie, origins=use.allowed_origins, missing=missing)
        return findings
