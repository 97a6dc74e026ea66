"""The listener for operators: `admin:` of `gateway.yaml`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from gateway.config.models.base import DAY, ConfigModel, Name, Number, WholeNumber

if TYPE_CHECKING:
    from gateway.config.models.listen import ListenConfig

_LIMITS = (
    "max_connections_per_address",
    "max_connections_per_user",
    "handshakes_per_second",
    "handshakes_per_second_per_address",
    "max_handshakes_per_address",
)


class AdminConfig(ConfigModel):
    """A listener of its own for the HTTP API, `/metrics` and the dashboard."""

    host: Name = Field(
        default="127.0.0.1",
        description="Address or host name of that listener. The default is reached from this machine only.",
    )
    port: WholeNumber | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="TCP port of a listener that alone serves `/api`, `/metrics` and the dashboard at "
        "`/admin`, in plain HTTP; 0 takes a free one. The default, null: there is no dashboard, and the "
        "other two are served where clients connect.",
    )
    session_seconds: Number = Field(
        default=28_800,
        ge=60,
        le=30 * DAY,
        description="Seconds after which who has logged in at the dashboard has to do so again.",
    )

    def listen(self, main: ListenConfig) -> ListenConfig:
        """Give the settings of this listener.

        Args:
            main: Those of the other one, of which proxies, deadlines and sizes hold here too, and limits on
                clients do not.
        """
        unlimited = {name: type(main).model_fields[name].default for name in _LIMITS}
        address = {"host": self.host, "port": self.port or 0, "unix": None, "tls": None}
        return main.model_copy(update={**unlimited, **address})
