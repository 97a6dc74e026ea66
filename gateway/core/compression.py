"""Compressed messages: once for all connections that share a window, or with a context of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from gateway.protocol.compression import CompressionPolicy, Deflater, Inflater
from gateway.protocol.encoding import encode_deflated, encode_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.models import CompressionConfig
    from gateway.protocol.compression import Parameters

Message: TypeAlias = str | bytes | bytearray | memoryview

__all__ = ["Agreement", "ConnectionCompression", "RouteCompression", "SharedCompression"]


class Agreement(NamedTuple):
    """The outcome of a negotiation: the answer's field, and what works by it in each direction."""

    answer: str
    outgoing: ConnectionCompression
    incoming: Inflater


class RouteCompression:
    """What a route agrees to, and what its connections share.

    Args:
        config: The route's settings.
    """

    __slots__ = ("_config", "_policy", "_shared")

    def __init__(self, config: CompressionConfig) -> None:
        self._config = config
        self._policy = CompressionPolicy(
            server_takeover=config.server_context_takeover,
            client_takeover=config.client_context_takeover,
            server_window_bits=config.server_window_bits,
            client_window_bits=config.client_window_bits,
        )
        self._shared: dict[int, SharedCompression] = {}

    def agree(self, offers: Sequence[str]) -> Agreement | None:
        """Choose among a client's offers; `None` if there is none to take.

        Args:
            offers: The Sec-WebSocket-Extensions fields of the request.
        """
        agreed = self._policy.agree(offers)
        if agreed is None:
            return None
        answer, parameters = agreed
        bits = parameters.server_window_bits
        shared = self._shared.get(bits)
        if shared is None:
            shared = self._shared[bits] = SharedCompression(self._config, bits)
        inflater = Inflater(takeover=parameters.client_takeover, window_bits=parameters.client_window_bits)
        return Agreement(answer, ConnectionCompression(shared, parameters), inflater)


class SharedCompression:
    """What compresses for all connections of a route that agreed on one window size, without a context.

    Args:
        config: The route's settings.
        window_bits: The window size.
    """

    __slots__ = ("_deflater", "config", "window_bits")

    def __init__(self, config: CompressionConfig, window_bits: int) -> None:
        self.config = config
        self.window_bits = window_bits
        self._deflater = Deflater(
            takeover=False, window_bits=window_bits, level=config.level, memory_level=config.memory_level
        )

    def encode(self, message: Message) -> bytes:
        """Encode a message as one frame, compressed if that makes it shorter."""
        return _encode(message, self.config.min_bytes, self._deflater)


class ConnectionCompression:
    """The compression of one connection's messages.

    Args:
        shared: What it has in common with others.
        parameters: What was agreed on.
    """

    __slots__ = ("_own", "keeps_context", "shared")

    def __init__(self, shared: SharedCompression, parameters: Parameters) -> None:
        self.shared = shared
        self.keeps_context = parameters.server_takeover
        """Whether a message may refer to earlier ones, so that none may be left out."""
        self._own: Deflater | None = None

    def encode(self, message: Message) -> bytes:
        """Encode a message for this connection alone."""
        if not self.keeps_context:
            return self.shared.encode(message)
        if self._own is None:
            config = self.shared.config
            self._own = Deflater(
                takeover=True,
                window_bits=self.shared.window_bits,
                level=config.level,
                memory_level=config.memory_level,
            )
        return _encode(message, self.shared.config.min_bytes, self._own, keep_longer=True)

    def forget(self) -> None:
        """Begin a new context: a frame of the shared compression went to the client.

        That frame stands in the client's window now, where ours would reckon with what came before it.
        """
        self._own = None


def _encode(message: Message, min_bytes: int, deflater: Deflater, *, keep_longer: bool = False) -> bytes:
    payload = message.encode() if isinstance(message, str) else bytes(message)
    if len(payload) < min_bytes:
        return encode_message(message)
    deflated = deflater.deflate(payload)
    # With a context the deflated form must be sent, since later ones may refer to it.
    if len(deflated) >= len(payload) and not keep_longer:
        return encode_message(message)
    return encode_deflated(deflated, is_text=isinstance(message, str))
