"""Publishing with an answer: the broker has it, and where it stands in the group's history."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.broker.contract import Position, Publication
    from gateway.core.node_calls import NodeCalls

__all__ = ["Confirmed", "publish_confirmed"]


class Confirmed(NamedTuple):
    """What became of a publication.

    Args:
        position: Its place in the group's history, for a repetition that of the first; `None` in a group
            that keeps none.
        repeated: Whether its idempotency key had been used before: nothing was published then.
        connections: How many connections of this node it was handed to; `None` in a group with history,
            whose members get it when it is kept.
    """

    position: Position | None
    repeated: bool
    connections: int | None


async def publish_confirmed(
    node: NodeCalls, publication: Publication, idempotency_key: str | None
) -> Confirmed:
    """Publish, and wait until the broker has it; see `Node.publish_confirmed`."""
    group = publication.group
    if node.trackers.policy(group) is not None:
        kept = await node.broker.store(publication, idempotency_key)
        return Confirmed(kept.position, kept.repeated, None)
    if idempotency_key is not None:
        # The length keeps the key of one group from being that of another.
        name = f"publish {len(group)} {group} {idempotency_key}"
        if not await node.broker.claim(name, node.idempotency_seconds):
            return Confirmed(None, repeated=True, connections=0)
    return Confirmed(None, repeated=False, connections=node.broker.publish(publication))
