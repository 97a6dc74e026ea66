"""Orders that every node carries out with its own connections: to end some, or to revoke identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import pydantic
from pydantic import AfterValidator, Field

from gateway.core.groups import user_group
from gateway.core.revocations import PlainRevocation
from gateway.core.selection import Selection
from gateway.protocol.close_codes import IDENTITY_REVOKED, may_be_sent

if TYPE_CHECKING:
    from gateway.broker.contract import Note
    from gateway.core.connection import Connection
    from gateway.core.node import Node
    from gateway.core.revocations import Revocation

__all__ = ["Orders"]

_AT_ONCE: Final = 200  # ends so many in one turn of the loop: 2 ms


def _sendable(code: int) -> int:
    if not may_be_sent(code):
        raise ValueError("no close code that may be sent")
    return code


class _Disconnect(pydantic.BaseModel):
    """The order to close connections."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    order: Literal["disconnect"] = "disconnect"
    code: Annotated[int, AfterValidator(_sendable)]
    reason: str
    user: str | None = None
    connection: str | None = None
    route: str | None = None
    group: str | None = None
    claims: dict[str, pydantic.JsonValue] | None = None

    def selection(self) -> Selection:
        return Selection(self.user, self.connection, self.route, self.group, self.claims)


class _Revoke(PlainRevocation):
    """The order to take an identity no more."""

    order: Literal["revoke"] = "revoke"


_ORDER: Final[pydantic.TypeAdapter[_Disconnect | _Revoke]] = pydantic.TypeAdapter(
    Annotated[_Disconnect | _Revoke, Field(discriminator="order")]
)
Connections: TypeAlias = "list[Connection]"


class Orders:
    """What a node tells all nodes to do, itself included, and does when it is told.

    An order travels as a note: plain data, as `Broker.notify` carries it.

    Args:
        node: The node.
    """

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def disconnect(self, selection: Selection, code: int, reason: str) -> int:
        """Have all nodes close connections.

        Args:
            selection: Which ones.
            code: The close code.
            reason: The close reason.

        Returns:
            How many of this node's connections it is about.

        Raises:
            ValueError: If the code must not be sent (RFC 6455 section 7.4), or a part is no plain data.
        """
        claims = None if selection.claims is None else dict(selection.claims)
        order = _Disconnect(
            code=code,
            reason=reason,
            user=selection.user,
            connection=selection.connection,
            route=selection.route,
            group=selection.group,
            claims=claims,
        )
        return self._node.broker.notify(order.model_dump(exclude_none=True))

    def revoke(self, revocation: Revocation) -> int:
        """Have all nodes take an identity no more, and close the connections that it has opened, with 4403.

        Returns:
            How many of this node's connections it is about.

        Raises:
            TooManyRevocationsError: If there is no room for it here.
        """
        order = _Revoke(**revocation._asdict())
        return self._node.broker.notify(order.model_dump())

    def take(self, note: Note) -> int:
        """Carry out an order; give how many of this node's connections it is about.

        Raises:
            ValueError: If it is no order; nothing has been done then.
            TooManyRevocationsError: If there is no room for a revocation.
        """
        try:
            order = _ORDER.validate_python(dict(note))
        except (TypeError, ValueError):
            # The error's own text would repeat the note.
            raise ValueError("not an order") from None
        if isinstance(order, _Disconnect):
            return self._close(self._selected(order.selection()), order.code, order.reason)
        revocation = order.revocation()
        self._node.revocations.add(revocation)
        return self._close(self._revoked(revocation), IDENTITY_REVOKED, "identity revoked")

    def _selected(self, selection: Selection) -> Connections:
        hub = self._node.hub
        among = hub.connections
        if selection.user is not None:
            among = hub.members(user_group(selection.user))
        elif selection.group is not None:
            among = hub.members(selection.group)
        return [connection for connection in among if selection.fits(connection)]

    def _revoked(self, revocation: Revocation) -> Connections:
        hub = self._node.hub
        among = hub.connections if revocation.user is None else hub.members(user_group(revocation.user))
        return [one for one in among if one.identity is not None and revocation.covers(one.identity)]

    def _close(self, connections: Connections, code: int, reason: str) -> int:
        for connection in connections[:_AT_ONCE]:
            connection.begin_close(code, reason)
        if len(connections) > _AT_ONCE:
            self._node.loop.call_soon(self._close, connections[_AT_ONCE:], code, reason)
        return len(connections)
