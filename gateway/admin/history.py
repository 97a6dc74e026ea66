"""`GET /api/history` and `GET /api/position`: what groups keep, and where they are."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from gateway.admin.answers import HistoryAnswer, PositionAnswer
from gateway.admin.body import BadBodyError
from gateway.admin.publishing import GroupName  # noqa: TC001  (pydantic evaluates annotations)
from gateway.admin.query import Query

if TYPE_CHECKING:
    from gateway.admin.inside import Inside
    from gateway.broker.contract import Position, Publication
    from gateway.core.node import Node

__all__ = ["HistoryQuery", "PositionQuery"]


class HistoryQuery(Query):
    """The query of `GET /api/history`."""

    answers = HistoryAnswer

    group: GroupName = Field(description="Name of the group.")
    since: Annotated[int, Field(ge=0, lt=1 << 64)] | None = Field(
        default=None, description="Offset behind which to begin. Default: the newest ones are given."
    )
    epoch: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="Epoch that `since` belongs to. Default: the present one."
    )
    limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=100, description="Most publications that are given."
    )

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Read the history.

        Raises:
            BadBodyError: If the group keeps none.
            BrokerUnavailableError: If it cannot be read.
        """
        node = inside.node
        _check_kept(node, self.group)
        history = await node.history(self.group, self.since, self.limit)
        newest, publications = history.newest, history.publications
        answer: dict[str, Any] = {
            "group": self.group,
            "publications": [_plain(publication) for publication in publications],
            "position": _position(newest),
            "more": newest.offset > (publications[-1].offset if publications else self.since or 0),
        }
        if self.since is None:
            answer["more"] = False
        else:
            in_epoch = self.epoch is None or self.epoch == newest.epoch
            answer["complete"] = in_epoch and history.floor <= self.since <= newest.offset
        return answer


class PositionQuery(Query):
    """The query of `GET /api/position`."""

    answers = PositionAnswer

    group: list[GroupName] = Field(
        min_length=1, max_length=50, description="Names of the groups; the field may come more than once."
    )

    async def answer(self, inside: Inside) -> dict[str, Any]:
        """Find out where the groups are, and sign it.

        Raises:
            BadBodyError: If a group keeps no history.
            BrokerUnavailableError: If that cannot be found out.
        """
        node = inside.node
        for group in self.group:
            _check_kept(node, group)
        try:
            signed = await node.resuming.sign_present(dict.fromkeys(self.group))
        except ValueError as exc:
            raise BadBodyError(f"group: {exc}") from None
        return {
            "positions": {group: _position(position) for group, position in signed.positions.items()},
            "resume": signed.token,
            "expires_in_seconds": signed.seconds,
        }


def _check_kept(node: Node, group: str) -> None:
    if node.trackers.policy(group) is None:
        raise BadBodyError("group: keeps no history", 404, "no_history")


def _position(position: Position) -> dict[str, Any]:
    return {"offset": position.offset, "epoch": position.epoch}


def _plain(publication: Publication) -> dict[str, Any]:
    message = publication.message
    return {
        "offset": publication.offset,
        "previous": publication.previous,
        "epoch": publication.epoch,
        **({"data": message} if isinstance(message, str) else {"data_base64": b64encode(message).decode()}),
    }
