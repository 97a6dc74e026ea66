"""The forms of the API's answers. What is told of another node's is judged by them, too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field, JsonValue

__all__ = [
    "ConfigurationAnswer",
    "ConnectionEntry",
    "ConnectionsAnswer",
    "DisconnectAnswer",
    "ErrorAnswer",
    "GroupCount",
    "GroupsAnswer",
    "HistoryAnswer",
    "NodeEntry",
    "NodesAnswer",
    "PluginsAnswer",
    "PositionAnswer",
    "PresenceAnswer",
    "PublishAnswer",
    "RevokeAnswer",
    "RoutesAnswer",
    "SessionAnswer",
    "StatsAnswer",
    "UserCount",
    "UsersAnswer",
]

Count = Annotated[int, Field(ge=0)]


class _Form(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Answer(_Form):
    node: str = Field(description="Name of the node that answers.")


class _OfAll(_Answer):
    silent: list[str] = Field(description="Names of the nodes that have not answered in time.")
    complete: bool = Field(
        description="Whether all nodes have answered, and there is a link to the others of a broker."
    )


class ErrorAnswer(_Form):
    """Why nothing was done."""

    error: str = Field(description="What is wrong, as a word that stays the same.")
    message: str = Field(description="What is wrong, for people.")


class GroupOutcome(_Form):
    """What became of a publication in one of several groups."""

    group: str
    connections: Count | None = Field(default=None, description="How many connections of this node got it.")
    offset: Count | None = Field(default=None, description="Its offset in the group's history.")
    epoch: str | None = Field(default=None, description="The life of the history.")
    repeated: bool | None = Field(default=None, description="Whether its idempotency key was known already.")
    error: str | None = Field(default=None, description="Why it was not published there.")
    message: str | None = Field(default=None, description="The same for people.")


class PublishAnswer(_Answer):
    """What became of a publication."""

    connections: Count | None = Field(
        default=None,
        description="How many connections of this node got it; left out where it comes back from the broker "
        "first.",
    )
    offset: Count | None = Field(default=None, description="Its offset, in a group with history.")
    epoch: str | None = Field(default=None, description="The life of that history.")
    repeated: bool | None = Field(
        default=None, description="With an idempotency key: whether it was known already."
    )
    groups: list[GroupOutcome] | None = Field(
        default=None, description="With `groups`: what became of it in each."
    )


class PublishErrorAnswer(ErrorAnswer):
    """Why a publication was not published everywhere."""

    groups: list[GroupOutcome] | None = Field(
        default=None, description="With `groups`: what became of it in each."
    )


class DisconnectAnswer(_Answer):
    """How many connections end."""

    connections: Count = Field(description="How many of this node.")


class RevokeAnswer(_Answer):
    """What was revoked."""

    connections: Count = Field(description="How many connections of this node end.")
    expires_at: float = Field(description="Until when it holds, in seconds since the epoch.")


class PositionForm(_Form):
    """A place in a group's history."""

    offset: Count
    epoch: str


class PublicationForm(_Form):
    """A publication that is kept."""

    offset: Count
    previous: Count = Field(description="Offset of the publication before it; 0 if that is not known.")
    epoch: str
    data: str | None = Field(default=None, description="The message, if it is a text.")
    data_base64: str | None = Field(default=None, description="The message, if it is binary.")


class HistoryAnswer(_Answer):
    """What a group keeps."""

    group: str
    publications: list[PublicationForm]
    position: PositionForm = Field(description="Of the newest publication.")
    more: bool = Field(description="Whether there are others behind these.")
    complete: bool | None = Field(
        default=None, description="With `since`: whether everything behind it is kept still."
    )


class PositionAnswer(_Answer):
    """Where groups are."""

    positions: dict[str, PositionForm]
    resume: str = Field(description="A token for a page to resume with.")
    expires_in_seconds: float


class MemberForm(_Form):
    """Who is in a group."""

    id: str
    user: str | None
    connections: Count
    since: float
    claims: dict[str, JsonValue]
    details: dict[str, JsonValue]


class PresenceAnswer(_Answer):
    """Who is in a group, over all nodes."""

    group: str
    connections: Count
    members: list[MemberForm] | None = Field(default=None, description="Left out with `count`.")
    more: bool | None = Field(default=None, description="Whether there are others; left out with `count`.")


class ConnectionEntry(_Form):
    """An open connection."""

    id: str
    node: str = Field(description="Name of the node that has it.")
    route: str
    path: str = Field(description="The path that was opened, without its query.")
    user: str | None
    way: str | None = Field(description="The way that proved the user.")
    remote: str = Field(description="The client's address.")
    opened_at: float = Field(description="In seconds since the epoch.")
    expires_at: float | None = Field(description="When the identity ends.")
    subprotocol: str | None
    groups: list[str] = Field(description="Names of its groups, at most 50.")
    group_count: Count
    messages_in: Count
    messages_out: Count
    bytes_in: Count
    bytes_out: Count
    queued_bytes: Count = Field(description="What waits to be sent.")
    round_trip_seconds: float | None = Field(description="Of the last ping.")


class ConnectionsAnswer(_OfAll):
    """Open connections of all nodes."""

    connections: list[ConnectionEntry]
    total: Count = Field(description="How many there are that fit, on the nodes that have answered.")
    next: str | None = Field(description="What `after` has to be for the next ones; null at the end.")


class UserCount(_Form):
    """A user who is connected."""

    user: str
    connections: Count


class UsersAnswer(_OfAll):
    """Who is connected, over all nodes, in the order of their ids."""

    users: list[UserCount]
    next: str | None = Field(description="What `after` has to be for the next ones; null at the end.")


class GroupCount(_Form):
    """A group as one node has it."""

    group: str
    connections: Count


class GroupEntry(GroupCount):
    """A group with members."""

    history: bool = Field(description="Whether it keeps history.")
    presence: Literal["off", "count", "members"] = Field(description="What all nodes know of its members.")


class GroupsAnswer(_OfAll):
    """Groups with members, over all nodes, in the order of their names."""

    groups: list[GroupEntry]
    next: str | None = Field(description="What `after` has to be for the next ones; null at the end.")


class BrokerForm(_Form):
    """A node's broker."""

    type: str
    connected: bool
    down: bool = Field(description="Whether there is no recent proof that it carries anything.")
    seconds: float | None = Field(description="For how long the node has been connected to it.")
    round_trip_seconds: float | None
    reconnects: Count


class NodeEntry(_Form):
    """A node."""

    node: str
    worker: int | None = Field(description="Number of its slot; null where it is the only worker.")
    host: str
    pid: int
    version: str
    started_at: float
    draining: bool
    connections: Count
    groups: Count
    broker: BrokerForm
    routes: dict[str, Count] = Field(description="Open connections by route.")


class NodesAnswer(_OfAll):
    """The nodes of this gateway."""

    nodes: list[NodeEntry]


class FigureForm(_Form):
    """A value of a figure."""

    labels: dict[str, str]
    value: float | None = Field(default=None, description="Of a counter or a gauge.")
    counts: list[float] | None = Field(
        default=None, description="Of a histogram: how many in each bucket, and beyond the last."
    )
    sum: float | None = Field(default=None, description="Of a histogram.")


class StatsAnswer(_OfAll):
    """What is counted, added up over all nodes as `deploy/METRICS.md` names it."""

    figures: dict[str, list[FigureForm]] = Field(
        description="By name. The label `worker` is the node's name. Counted since each node's start."
    )
    nodes: Count = Field(description="How many nodes are in it.")


class PluginForm(_Form):
    """An installed plugin."""

    name: str
    distribution: str | None = Field(description="Null for the gateway's own.")
    version: str
    handlers: list[str]
    ways: list[str] = Field(description="Ways to authenticate.")


class PluginsAnswer(_Answer):
    """The plugins that are installed and enabled."""

    plugins: list[PluginForm]
    disabled: list[str] = Field(description="Names of those that gateway.yaml switches off.")


class RouteForm(_Form):
    """A route."""

    name: str
    path: str
    handlers: list[str]
    allowed_origins: list[str] | None = Field(description="Null for the page's own origin only.")
    allow_missing_origin: bool
    authenticate: list[str]
    subprotocols: list[str]
    groups: list[str]
    envelope: str
    max_connections: Count = Field(description="0: no limit of its own.")
    connections: Count = Field(description="Open now, on the nodes that have answered.")


class RoutesAnswer(_OfAll):
    """What clients may open."""

    routes: list[RouteForm]


class ConfigurationAnswer(_Answer):
    """What holds in the end, secrets hidden."""

    config: dict[str, Any]
    origins: dict[str, str] = Field(
        description="Where each value is from: file and line, environment, default."
    )


class SessionAnswer(_Answer):
    """Who calls."""

    name: str
    scopes: list[str]
    ends_at: float | None = Field(description="When the dashboard's session ends; null for a token.")
