"""A route: a path, its policy, its handlers and its groups."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003  (pydantic evaluates annotations)
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.models.base import (
    EMPTY_WHEN_NULL,
    UNIQUE,
    ConfigModel,
    Flag,
    Name,
    WholeNumber,
    raise_findings,
)
from gateway.config.models.compression import CompressionConfig  # noqa: TC001  (pydantic evaluates annotations)
from gateway.config.models.forms import (
    check_group_template,
    check_origin,
    check_path,
    check_place,
    check_subprotocol,
    parameters_of,
)
from gateway.config.models.group_rules import gap_findings
from gateway.config.models.limits import Overflow, RouteLimits
from gateway.config.models.rules import (
    cookie_findings,
    cookie_place,
    route_findings,
    subprotocol_findings,
)


class HandlerUse(ConfigModel):
    """One use of a handler on a route. A plain text such as `echo` means `{name: echo}`."""

    name: Name = Field(description="Name of the handler, as its plugin gives it.")
    options: Annotated[Mapping[str, Any], EMPTY_WHEN_NULL] = Field(
        default_factory=dict,
        repr=False,
        description="Options of this use, checked against the handler's own model. Default: none set.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class RouteConfig(ConfigModel):
    """An entry of `routes:`."""

    path: Annotated[str, AfterValidator(check_path)] = Field(
        description="Path that clients open, beginning with `/`. A segment such as `{room}` is a parameter.",
    )
    name: Name = Field(
        default_factory=lambda earlier: earlier["path"],
        description="Name of the route in logs and metrics, unlike any other route's. Default: the path.",
    )
    handlers: tuple[HandlerUse, ...] = Field(
        default=(),
        description="Handlers that see each message, in this order. Default: none, and messages are ignored.",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(check_origin)], ...] | None = Field(
        default=None,
        description=(
            "Origins whose pages may connect: `scheme://host[:port]`, where the host may begin with `*.`, "
            "or `*` for any. The default, null, allows the page's own origin only."
        ),
    )
    allow_missing_origin: Flag = Field(
        default=False,
        description="Whether clients that send no Origin, which no browser does, may connect. Default: no.",
    )
    authenticate: Annotated[tuple[Name, ...], UNIQUE] = Field(
        default=(),
        description="Ways to prove an identity, tried in this order. Default: none, and anyone may connect.",
    )
    credentials_from: Annotated[tuple[Annotated[str, AfterValidator(check_place)], ...], UNIQUE] = Field(
        default=("header", "subprotocol"),
        description=(
            "Places in which a bearer credential may come: `header`, `subprotocol` (`bearer.` and the "
            "credential), `cookie:NAME` or `query:NAME`. Default: `header` and `subprotocol`."
        ),
    )
    subprotocols: Annotated[tuple[Annotated[str, AfterValidator(check_subprotocol)], ...], UNIQUE] = Field(
        default=(),
        description="Subprotocols that the route speaks, in the server's order of preference. Default: none.",
    )
    require_subprotocol: Flag = Field(
        default=False,
        description="Whether a client must offer one of the subprotocols. Default: no.",
    )
    groups: Annotated[tuple[Annotated[Name, AfterValidator(check_group_template)], ...], UNIQUE] = Field(
        default=(),
        description=(
            "Groups that each connection joins at the opening handshake. `{user}` and the path's parameters "
            "are filled in. Default: none."
        ),
    )
    envelope: Literal["none", "json"] = Field(
        default="none",
        description="How messages come to clients: `none` as they are, `json` each in an object with its "
        "group, its offset in the group's history, and a token to resume with. Default: `none`.",
    )
    on_gap: Literal["tell", "close", "ignore"] | None = Field(
        default=None,
        description="What becomes of a member that may have missed publications: `tell` sends an envelope "
        "that says so, `close` closes with 4409, `ignore` does nothing. The default, null, tells where there "
        "are envelopes; elsewhere it closes members of groups with history, and no others.",
    )
    message_types: Annotated[tuple[Literal["text", "binary"], ...], UNIQUE] = Field(
        default=("text", "binary"),
        min_length=1,
        description="Kinds of message that clients may send; another's close code is 1003. Default: both.",
    )
    max_connections: WholeNumber = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description=(
            "Most connections on this route, to all nodes. Above it the answer is 503. Default: 0, no limit."
        ),
    )
    limits: Annotated[RouteLimits, EMPTY_WHEN_NULL] = Field(
        default_factory=RouteLimits,
        description="Limits of each connection of the route. Default: each limit's own default.",
    )
    compression: CompressionConfig | None = Field(
        default=None,
        description="Compression of messages. The default, null, compresses nothing; `{}` turns it on.",
    )
    overflow: Overflow = Field(
        default=Overflow.DISCONNECT,
        description=(
            "What happens when a connection's send queue is at its limit: `disconnect`, `drop_oldest`, "
            "`drop_newest` or `conflate`. Default: `disconnect`."
        ),
    )

    log_messages: Flag = Field(
        default=False,
        description="Whether each message from a client is logged, with its content: for finding faults. "
        "Default: no.",
    )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters, in their order."""
        return parameters_of(self.path)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        findings = route_findings(self.path, self.groups)
        findings += subprotocol_findings(required=self.require_subprotocol, offered=len(self.subprotocols))
        findings += gap_findings(self.envelope, self.on_gap)
        by_cookie = cookie_place(self.authenticate, self.credentials_from)
        if by_cookie is not None:
            missing = self.allow_missing_origin
            findings += cookie_findings(by_cookie, origins=self.allowed_origins, missing=missing)
        raise_findings("RouteConfig", findings)
        return self
