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
    if idempotency_key is None:
        return Confirmed(None, repeated=False, connections=node.broker.publish(publication))
    # The length keeps the key of one group from being that of another.
    return await _publish_once(node, publication, f"{len(group)} {group} {idempotency_key}")


async def _publish_once(node: NodeCalls, publication: Publication, name: str) -> Confirmed:
    doubts = node.doubts
    # Before that there is no connection on which a claim could have been made.
    connected = node.broker.status.connected
    tries = doubts.tries(name)
    try:
        while not await node.broker.claim(_claim(name, tries), node.idempotency_seconds):
            if doubts.tries(name) <= tries:
                return Confirmed(None, repeated=True, connections=0)
            tries = doubts.tries(name)  # another try has just come to nothing
        connections = node.broker.publish(publication)
    except BaseException:  # a caller that is cancelled, too: the claim may have been made
        doubts.doubt(name, tries + 1, tell=connected)
        raise
    if tries:
        doubts.doubt(name, tries, tell=True)  # for as long as this try's claim holds
    return Confirmed(None, repeated=False, connections=connections)


def _claim(name: str, tries: int) -> str:
    return f"publish {name}" if not tries else f"publish+{tries} {name}"
