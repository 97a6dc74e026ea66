"""What the API's calls do: publish, disconnect, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.admin.body import parse_body
from gateway.admin.ending import DisconnectRequest, RevokeRequest
from gateway.admin.publishing import PublishRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.core.node import Node
    from gateway.core.revocations import Revocation

__all__ = ["Calls"]


class Calls:
    """The calls of a node. Each takes the body and the caller's name, and gives the answer.

    All raise `BadBodyError` for a body that is none.

    Args:
        node: The node.
        revocation_seconds: How long a revocation holds that does not say it.
        leeway_seconds: For how long after their end tokens may still be good.
        keep: Keeps a revocation beyond the life of this process, before the call is answered; `None`: nothing
            does.
    """

    def __init__(
        self,
        node: Node,
        *,
        revocation_seconds: float,
        leeway_seconds: float,
        keep: Callable[[Revocation], Awaitable[None]] | None,
    ) -> None:
        self._node = node
        self._log = node.log.bind(logger="gateway.api")
        self._revocation_seconds = revocation_seconds
        self._leeway_seconds = leeway_seconds
        self._keep = keep

    async def publish(self, body: bytes, caller: str) -> dict[str, Any]:
        """Publish a message.

        Raises:
            BrokerUnavailableError: If it cannot be published now.
            MessageTooBigError: If it is too big for the way between nodes.
            NotPublishedError: If one of these happened in one of several groups.
        """
        done = await parse_body(PublishRequest, body).publish(self._node)
        told = done if "groups" not in done else {**done, "groups": len(done["groups"])}
        self._log.debug("api_published", caller=caller, **told)
        return done

    async def disconnect(self, body: bytes, caller: str) -> dict[str, Any]:
        """Close connections.

        Raises:
            BrokerUnavailableError: If the other nodes cannot be told.
        """
        asked = parse_body(DisconnectRequest, body)
        count = asked.carry_out(self._node)
        self._log.info("api_disconnected", caller=caller, connections=count, code=asked.code)
        return {"connections": count}

    async def revoke(self, body: bytes, caller: str) -> dict[str, Any]:
        """Revoke a token, or a user's.

        Raises:
            BrokerUnavailableError: If the other nodes cannot be told.
        """
        asked = parse_body(RevokeRequest, body)
        revocation = asked.revocation(self._node.now(), self._revocation_seconds, self._leeway_seconds)
        count = asked.carry_out(self._node, revocation)
        if self._keep is not None:
            await self._keep(revocation)
            # A process that has just started may have read the file too early, and heard of it too late.
            asked.carry_out(self._node, revocation)
        until = revocation.until
        self._log.info("api_revoked", caller=caller, connections=count, user=asked.user, until=until)
        return {"connections": count, "expires_at": until}
