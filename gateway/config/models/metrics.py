"""The figures of the gateway: `metrics:` of `gateway.yaml`."""

from __future__ import annotations

from pydantic import Field

from gateway.config.models.base import ConfigModel, Flag


class MetricsConfig(ConfigModel):
    """Who may read `/metrics`, and whether there is anything to read."""

    enabled: Flag = Field(
        default=True,
        description="Whether `/metrics` is served, and handlers and the event loop are watched for it. "
        "Default: yes.",
    )
    public: Flag = Field(
        default=False,
        description="Whether anybody may read `/metrics`. Default: no, only who may call the HTTP API; "
        "without one it is not served.",
    )
