"""Settings of the way `ticket`, and of `POST /api/tickets`, which gives the tickets."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.models.base import UNIQUE, ConfigModel, Name, Number, refusal
from gateway.config.models.forms import check_origin, check_place
from gateway.config.models.secrets import EMPTY_TEXT_WHEN_NULL, SigningSecret


def _check_way(name: str) -> str:
    if name == "ticket":
        raise refusal("a ticket does not buy another")
    return name


class TicketWayConfig(ConfigModel):
    """The built-in way `ticket`: clients present a ticket that opens one connection, within seconds."""

    secret: Annotated[SigningSecret, EMPTY_TEXT_WHEN_NULL] = Field(
        description="Secret with which tickets are signed, of 32 bytes or more, the same on all nodes.",
    )
    authenticate: Annotated[tuple[Annotated[Name, AfterValidator(_check_way)], ...], UNIQUE] = Field(
        min_length=1,
        description="Ways by which `POST /api/tickets` finds out who asks, tried in this order.",
    )
    credentials_from: Annotated[tuple[Annotated[str, AfterValidator(check_place)], ...], UNIQUE] = Field(
        default=("header",),
        description="Places in which a bearer credential may come there, as on a route. Default: `header`.",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(check_origin)], ...] | None = Field(
        default=None,
        description=(
            "Origins whose pages may ask there, as on a route. The default, null, allows the page's own "
            "origin only. Who sends no Origin may ask, unless a cookie can be the credential."
        ),
    )
    ticket_seconds: Number = Field(
        default=10,
        gt=0,
        le=300,
        description="Seconds for which a ticket is good. Default: 10.",
    )
