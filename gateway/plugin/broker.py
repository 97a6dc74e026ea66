"""The base class of the brokers that plugins give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic

import pydantic
from typing_extensions import TypeVar

from gateway.broker.contract import BrokerStatus, BrokerUnavailableError, no_history
from gateway.plugin.handler import Options, find_options_model

if TYPE_CHECKING:
    from gateway.broker.contract import (
        Deliver,
        History,
        HistoryOf,
        Kept,
        Note,
        Notified,
        OnGap,
        Publication,
    )
    from gateway.observe.logs import Logger

__all__ = ["PluginBroker"]

OptionsType = TypeVar("OptionsType", bound=pydantic.BaseModel, default=Options)


class PluginBroker(ABC, Generic[OptionsType]):
    """A carrier of publications between nodes. One object serves a node; it is made on the event loop.

    What it has to promise stands at `gateway.broker.contract.Broker`.

    Args:
        options: What gateway.yaml says under `broker`, besides its `type`.
        node: The node's name; no other node has it.
        log: Where log lines go.
    """

    options_model: ClassVar[type[pydantic.BaseModel]] = Options
    """The model of the broker's options: taken from the base, as in `class Mine(PluginBroker[MyOptions])`."""

    keeps_history: ClassVar[bool] = False
    """Whether it has `store` and `history`; where it has not, no group may have `history`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        model = find_options_model(cls, PluginBroker)
        if model is not None:
            cls.options_model = model

    def __init__(self, options: OptionsType, node: str, log: Logger) -> None:
        self.options = options
        self.node = node
        self.log = log
        self.status = BrokerStatus()
        """How it is. As it is made it always counts as up; with `patience_seconds` set, `/readyz` looks."""
        self.history_of: HistoryOf = no_history
        """Gives how much history a group keeps; set before `start`."""

    @abstractmethod
    async def start(self, deliver: Deliver, notified: Notified, on_gap: OnGap) -> None:
        """Try to connect, and from now on hand over what arrives."""

    @abstractmethod
    async def stop(self) -> None:
        """Let what is on its way out leave, for a short time, and disconnect. May be called twice."""

    @abstractmethod
    def subscribe(self, group: str) -> None:
        """Begin to receive a group."""

    @abstractmethod
    def unsubscribe(self, group: str) -> None:
        """Cease to receive a group, perhaps a little later."""

    @abstractmethod
    def publish(self, publication: Publication) -> int:
        """Hand a publication to this node's members, give their number, and send it to every other node."""

    @abstractmethod
    def notify(self, note: Note) -> int:
        """Hand a note to this node, give what that gave, and send it to every other node."""

    @abstractmethod
    async def claim(self, key: str, seconds: float) -> bool:
        """Be the first of all nodes to name a key; tell whether that is so."""

    async def store(self, publication: Publication, idempotency_key: str | None = None) -> Kept:  # noqa: ARG002
        """Publish to a group with history, and wait until the engine has it.

        Raises:
            BrokerUnavailableError: Unless a broker has its own.
        """
        raise BrokerUnavailableError("keeps no history")

    async def history(self, group: str, since: int | None, limit: int) -> History:  # noqa: ARG002
        """Read what a group keeps.

        Raises:
            BrokerUnavailableError: Unless a broker has its own.
        """
        raise BrokerUnavailableError("keeps no history")
