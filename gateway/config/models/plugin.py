"""Settings of installed plugins: `plugins:` of `gateway.yaml`, and what keeps one from harming the others."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import Annotated, Any

from pydantic import Field

from gateway.config.models.base import DAY, EMPTY_WHEN_NULL, ConfigModel, Flag, Number, WholeNumber


class BreakerConfig(ConfigModel):
    """When a plugin is stopped for a while, since it fails."""

    failures: WholeNumber = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Number of failed events that stop the plugin at a node: its connections are closed with "
        "1013 when they need it, and other plugins work on. 0 never stops it.",
    )
    within_seconds: Number = Field(
        default=10,
        gt=0,
        le=DAY,
        description="Seconds within which that many events have to fail.",
    )
    pause_seconds: Number = Field(
        default=10,
        gt=0,
        le=DAY,
        description="Seconds for which it is stopped. Then one event is tried: if that fails, it is stopped "
        "again.",
    )


class PluginLimits(ConfigModel):
    """What the handlers of one plugin may take, at each node."""

    event_timeout_seconds: Number | None = Field(
        default=None,
        gt=0,
        le=DAY,
        description="Seconds that an async event of the plugin may take, if that is less than the route's "
        "`handler_timeout_seconds`. After that the close code is 1011. Default: null, the route's alone.",
    )
    max_events_under_way: WholeNumber = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Most events that wait for something at once. Further ones wait for their turn, for as "
        "long as an event may take; after that the close code is 1013. Each route may have its share of "
        "them, however many of others wait.",
    )
    max_threads: WholeNumber = Field(
        default=8,
        ge=1,
        le=1024,
        description="Most threads in which `run_in_thread` and `asyncio.to_thread` run the plugin's "
        "functions. Further calls wait.",
    )
    task_grace_seconds: Number = Field(
        default=5,
        ge=0,
        le=DAY,
        description="Seconds for which a task that an event has begun may outlive its connection. After that "
        "it is named in the log and cancelled.",
    )
    breaker: Annotated[BreakerConfig, EMPTY_WHEN_NULL] = Field(
        default_factory=BreakerConfig,
        description="When the plugin is stopped for a while. Default: for 10 seconds after 100 failures "
        "within 10.",
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
    limits: Annotated[PluginLimits, EMPTY_WHEN_NULL] = Field(
        default_factory=PluginLimits,
        description="What its handlers may take, so that none harms the others. Default: 1,000 events under "
        "way, 8 threads, and stopped for 10 seconds after 100 failures within 10.",
    )
