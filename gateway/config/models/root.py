"""The whole of `gateway.yaml`, and the sections that are too small for a file of their own."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.config.models.access import ApiConfig, AuthenticationConfig
from gateway.config.models.base import EMPTY_WHEN_NULL, ConfigModel, Flag, Name, raise_findings
from gateway.config.models.forms import check_group_pattern
from gateway.config.models.limits import Overflow  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.listen import ListenConfig, LogConfig
from gateway.config.models.route import RouteConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.rules import repeat_findings, routes_findings


def _no_entries_when_null(value: Any) -> Any:
    return () if value is None else value


_NO_ENTRIES_WHEN_NULL = BeforeValidator(_no_entries_when_null)


class GroupPolicy(ConfigModel):
    """What holds for the groups whose name matches a pattern."""

    pattern: Annotated[Name, AfterValidator(check_group_pattern)] = Field(
        description="Names of the groups that the policy is for; `*` stands for any characters.",
    )
    overflow: Overflow | None = Field(
        default=None,
        description="What happens at a member's full send queue. The default, null, leaves it to the route.",
    )


class BrokerConfig(ConfigModel):
    """What carries publications between nodes."""

    type: Literal["memory"] = Field(
        default="memory",
        description="Kind of broker. Only `memory` for now, which serves one node.",
    )


class PluginConfig(ConfigModel):
    """Settings of one installed plugin."""

    enabled: Flag = Field(
        default=True,
        description="Whether the plugin is used. Default: yes, as without this entry.",
    )
    options: Annotated[Mapping[str, Any], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        repr=False,
        description="Options of the plugin, checked against its own model. Default: none set.",
    )


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
    broker: Annotated[BrokerConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=BrokerConfig,
        description="What carries publications between nodes. Default: `memory`, for one node.",
    )
    api: Annotated[ApiConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=ApiConfig,
        description="The HTTP API. Default: off, since no token is set.",
    )
    authentication: Annotated[AuthenticationConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=AuthenticationConfig,
        description="Settings of the built-in ways to prove an identity. Default: none set.",
    )
    plugins: Annotated[Mapping[Name, Annotated[PluginConfig, EMPTY_WHEN_NULL]], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        description="Settings of installed plugins, by the plugin's name. Default: none set, all enabled.",
    )

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = routes_findings([(route.path, route.name) for route in self.routes])
        patterns = [policy.pattern for policy in self.groups]
        findings += repeat_findings(("groups",), "pattern", patterns, "pattern can never match")
        raise_findings("GatewayConfig", findings)
        return self
