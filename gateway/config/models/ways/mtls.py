"""Settings of the way `mtls`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.config.models.base import ConfigModel


class MtlsWayConfig(ConfigModel):
    """The built-in way `mtls`: clients show a certificate, which `listen: tls:` has to ask for."""

    user_from: Literal["common_name", "san_dns", "san_email", "san_uri"] = Field(
        default="common_name",
        description=(
            "What names the user: the subject's `common_name`, or a subject alternative name, `san_dns`, "
            "`san_email` or `san_uri`, of which the certificate has exactly one. Default: `common_name`."
        ),
    )
