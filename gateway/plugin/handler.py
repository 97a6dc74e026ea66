"""The base class of handlers, and of the options that handlers and plugins take from gateway.yaml."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, get_args, get_origin

import pydantic
from typing_extensions import TypeVar

if TYPE_CHECKING:
    from gateway.core.connection import Connection
    from gateway.core.node import Node
    from gateway.core.presence import Member

__all__ = ["HANDLED", "Handled", "Handler", "Options"]


class Options(pydantic.BaseModel):
    """Options from gateway.yaml: unknown keys are errors, and the values do not change."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def find_options_model(cls: type, root: type) -> type[pydantic.BaseModel] | None:
    """Give the model of options that a class's own statement names; `None` if it names none.

    Args:
        cls: The class that is being made.
        root: `Handler` or `Authenticator`, from which it derives.

    Raises:
        TypeError: If what it names is no model that refuses unknown keys.
    """
    named = cls.__dict__.get("options_model", _named_by_base(cls, root))
    if named is None:
        return None
    if not (isinstance(named, type) and issubclass(named, pydantic.BaseModel)):
        raise TypeError(f"options model of {cls.__name__} is {named!r}, not a subclass of gateway.Options")
    if named.model_config.get("extra") != "forbid":
        fact = "does not refuse unknown keys, gateway.Options is the base that does"
        raise TypeError(f"options model {named.__name__} of {cls.__name__} {fact}")
    return named


def _named_by_base(cls: type, root: type) -> object:
    # Only the class's own bases: those of its parents have been looked at when the parents were made.
    for base in cls.__dict__.get("__orig_bases__", ()):
        for argument in get_args(base):
            if isinstance(argument, type) and issubclass(argument, pydantic.BaseModel):
                return argument
            if get_origin(base) is root and argument is not Any and not isinstance(argument, TypeVar):
                return argument
    return None


class Handled:
    """The type of `HANDLED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "HANDLED"


HANDLED: Final = Handled()
"""Returned by `Handler.on_message`: the message goes no further along the route's handlers."""

OptionsType = TypeVar("OptionsType", bound=pydantic.BaseModel, default=Options)


class Handler(Generic[OptionsType]):
    """The receiver of the events of a route's connections.

    One object is made for each place where a route names the handler, in each process, before the first
    connection; what belongs to one connection is kept in `connection.state`. Each event may be a plain
    or an `async` method. The events of one connection come in order and one at a time: while an `async`
    event waits, the next one of that connection waits too, and other connections go on.

    An event that raises ends its connection with 1011; so does one that waits longer than the route's
    `handler_timeout_seconds`.

    Args:
        options: What the route says under `options`, validated by the class's `options_model`.
    """

    options_model: ClassVar[type[pydantic.BaseModel]] = Options
    """The model of this handler's options: taken from the base, as in `class Mine(Handler[MyOptions])`."""

    required_params: ClassVar[tuple[str, ...]] = ()
    """Path parameters that a route with this handler must have; `gateway check` judges it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        model = find_options_model(cls, Handler)
        if model is not None:
            cls.options_model = model

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    def on_start(self, node: Node) -> Any:
        """Called once, when the process starts, before the first connection."""

    def on_stop(self) -> Any:
        """Called once, when the process stops, after the last connection."""

    def on_open(self, connection: Connection) -> Any:
        """Called when a connection has opened and joined its route's groups."""

    def on_message(self, connection: Connection, message: str | bytes) -> Any:
        """Called with each message: `str` if it came as text, `bytes` if as binary.

        Return `HANDLED` to keep the message from the handlers that follow on the route. Any other
        result is ignored.
        """

    def on_close(self, connection: Connection, code: int, reason: str) -> Any:
        """Called once, when the connection has ended; nothing can be sent any more.

        It is called even if the connection ended before this handler's open event was its turn.

        Args:
            connection: The connection that ended; it has left its groups.
            code: The close code: the peer's, ours if we failed the connection, 1005 if the peer gave
                none, 1006 if the connection was lost without a closing handshake.
            reason: The text that came with the code; often empty.
        """

    # Of groups with presence only; who is in a group is known over all nodes.

    def on_join(self, group: str, member: Member, connections: tuple[Connection, ...]) -> Any:
        """Called when somebody is in a group who was not: their first connection has joined it, anywhere.

        Each node calls it where connections of the handler's route are in the group, so send to these and
        do not publish. An event that raises, or waits too long, is logged and ends no connection.

        Args:
            group: The group's name.
            member: Who it is.
            connections: This node's connections of the handler's route that are in the group, the member's
                own included; `connection.member_id` tells whose one is.
        """

    def on_leave(self, group: str, member: Member, connections: tuple[Connection, ...]) -> Any:
        """Called when somebody is in a group no more; otherwise as `on_join`.

        A user whose last connection ended has left after `presence_grace_seconds`. One whose last connection
        left the group, or who has no identity, has left at once.
        """

    def on_change(
        self, group: str, member: Member, former: Member, connections: tuple[Connection, ...]
    ) -> Any:
        """Called when a member's claims or details are others than before; otherwise as `on_join`.

        Args:
            group: The group's name.
            member: Who it is now.
            former: The same with the former claims and details.
            connections: As with `on_join`.
        """
