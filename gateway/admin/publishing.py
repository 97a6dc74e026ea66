"""`POST /api/publish`: an authenticated call pushes a message from anywhere."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Annotated, Any, Self

import pydantic
from pydantic import AfterValidator, Field

from gateway.admin.body import BadBodyError
from gateway.core.groups import EVERYONE, user_group

if TYPE_CHECKING:
    from gateway.core.node import Node

__all__ = ["GroupName", "PublishRequest", "Text"]


def _not_ours(group: str) -> str:
    if group.startswith("$"):
        raise ValueError("groups whose names begin with $ are the gateway's own")
    return group


Text = Annotated[str, Field(min_length=1, max_length=512)]
GroupName = Annotated[Text, AfterValidator(_not_ours)]


class PublishRequest(pydantic.BaseModel):
    """The body of `POST /api/publish`: one target, and one form of data."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    group: GroupName | None = Field(default=None, description="Name of the group that gets the message.")
    user: Text | None = Field(
        default=None, description="User id: all connections of the user get the message."
    )
    everyone: bool = Field(default=False, description="Whether every connection gets the message.")
    data: Any = Field(
        default=None, description="The message: a text as it is, any other JSON value as its JSON text."
    )
    data_base64: str | None = Field(default=None, description="The message as binary, in base64.")
    idempotency_key: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="Name of this publication: tried again with it, it is not published a second time.",
    )

    @pydantic.model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.group is not None) + (self.user is not None) + self.everyone != 1:
            raise ValueError("exactly one of group, user and everyone is needed")
        if ("data" in self.model_fields_set) + (self.data_base64 is not None) != 1:
            raise ValueError("exactly one of data and data_base64 is needed")
        return self

    def message(self) -> str | bytes:
        """Give the message as it goes out.

        Raises:
            BadBodyError: If `data_base64` is not base64, or `data` is a number that JSON has no form for.
        """
        if self.data_base64 is not None:
            try:
                return b64decode(self.data_base64, validate=True)
            except (binascii.Error, ValueError):
                raise BadBodyError("data_base64: not base64") from None
        if isinstance(self.data, str):
            return self.data
        try:
            return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError:
            raise BadBodyError("data: holds a number that json has no form for") from None

    async def publish(self, node: Node) -> dict[str, Any]:
        """Publish the message; give what became of it, as the answer says it.

        Raises:
            BrokerUnavailableError: If it cannot be published now.
            MessageTooBigError: If it is too big for the way between nodes.
        """
        message = self.message()
        if self.everyone:
            group = EVERYONE
        elif self.user is not None:
            group = user_group(self.user)
        else:
            group = str(self.group)
        done = await node.publish_confirmed(group, message, idempotency_key=self.idempotency_key)
        answer: dict[str, Any] = {}
        if done.connections is not None:
            answer["connections"] = done.connections
        if done.position is not None:
            answer |= {"offset": done.position.offset, "epoch": done.position.epoch}
        if self.idempotency_key is not None:
            answer["repeated"] = done.repeated
        return answer
