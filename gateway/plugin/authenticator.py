"""The base class of the ways to authenticate an opening handshake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic

import pydantic
from typing_extensions import TypeVar

from gateway.plugin.handler import Options, find_options_model

if TYPE_CHECKING:
    from gateway.core.node import Node
    from gateway.core.opening import Opening

__all__ = ["Authenticator"]

OptionsType = TypeVar("OptionsType", bound=pydantic.BaseModel, default=Options)


class Authenticator(Generic[OptionsType]):
    """A way to find out who opens a connection. One object serves all routes of a process.

    Args:
        options: What gateway.yaml says under `authentication: <name>`.
    """

    options_model: ClassVar[type[pydantic.BaseModel]] = Options
    """The model of this way's options: taken from the base, as in `class Mine(Authenticator[MyOptions])`."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        model = find_options_model(cls, Authenticator)
        if model is not None:
            cls.options_model = model

    def __init__(self, options: OptionsType) -> None:
        self.options = options

    def on_start(self, node: Node) -> Any:
        """Called once, when the process starts; may be `async`."""

    def on_stop(self) -> Any:
        """Called once, when the process stops; may be `async`."""

    def authenticate(self, opening: Opening) -> Any:  # noqa: ARG002 - for those who implement it
        """Judge the credentials of an opening handshake; may be `async`.

        Returns:
            The `Identity` that they prove, or `None` if there are none of this way's kind, so that the
            route's next way is asked.

        Raises:
            Refused: If there are credentials and they are not good.
        """
        raise TypeError(f"{type(self).__name__} does not implement authenticate")
