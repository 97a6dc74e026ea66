"""Clients by the thousand: small, on raw sockets, and without any patience for a refusal."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

Figures = dict[tuple[str, ...], float]

ACCEPTED: Final = b"HTTP/1.1 101 "
_HEAD: Final = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
_EMPTY_CLOSE: Final = b"\x88\x82\0\0\0\0"  # masked with nothing, before its code


class Connection(asyncio.Protocol):
    """One connection of a client, from TCP to its end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = b""
        self._opened = False
        self.messages: list[Any] = []
        self.code = 1006
        self.refusal = ""
        self.transport: asyncio.Transport
        self.opened: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport = transport  # type: ignore[assignment]
        self.transport.write(_HEAD.format(self._path).encode())

    def data_received(self, data: bytes) -> None:
        """Take the answer, and frames."""
        self._rest += data
        if not self._opened:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(ACCEPTED):
                self.refusal = self._rest.decode()
                self.transport.close()
                return
            self._opened, self._rest = True, rest
            self.opened.set_result(True)
        while (frame := self._frame()) is not None:
            kind, payload = frame
            if kind == 0x81:
                self.messages.append(json.loads(payload))
            elif kind == 0x88:
                self.code = struct.unpack("!H", payload[:2])[0]
                self.transport.write(_EMPTY_CLOSE + payload[:2])
            elif kind == 0x89:
                self.transport.write(b"\x8a\x80\0\0\0\0")

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._rest
        if len(data) < 4:
            return None
        length, begin = data[1], 2
        if length == 126:
            length, begin = int.from_bytes(data[2:4], "big"), 4
        if len(data) < begin + length:
            return None
        self._rest = data[begin + length :]
        return data[0], data[begin : begin + length]

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        if not self.opened.done():
            self.refusal = self.refusal or f"no answer, {exc!r}"
            self.opened.set_result(False)
        if not self.ended.done():
            self.ended.set_result(None)


async def open_one(address: tuple[str, int], path: str) -> Connection:
    """Open a connection; give it, opened or refused."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(lambda: Connection(path), *address)
    except OSError as exc:
        connection = Connection(path)
        connection.refusal = repr(exc)
        return connection
    await connection.opened
    return connection


class Client:
    """Who comes back whenever its connection ends, with the last token it was sent.

    Attributes:
        offsets: Of the publications that it got, in their order.
        codes: How its connections ended.
        refusals: What it was told in place of a connection.
        unrecovered: How often it was told that it cannot have what it missed.
    """

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._address = address
        self._path = path
        self._token = ""
        self.connection: Connection | None = None
        self.offsets: list[int] = []
        self.codes: list[int] = []
        self.refusals: list[str] = []
        self.unrecovered = 0
        self.opened = 0

    async def live(self, stopping: asyncio.Event) -> None:
        """Be there until told to stop."""
        while not stopping.is_set():
            query = f"?resume={self._token}" if self._token else ""
            connection = self.connection = await open_one(self._address, self._path + query)
            if connection.refusal:
                self.refusals.append(connection.refusal)
                return
            self.opened += 1
            await connection.ended
            self.take()
            self.codes.append(connection.code)

    def abort(self) -> None:
        """End its connection."""
        assert self.connection is not None
        self.connection.transport.abort()

    def take(self) -> None:
        """Look through what came."""
        assert self.connection is not None
        messages, self.connection.messages = self.connection.messages, []
        for message in messages:
            self._token = message.get("resume", self._token)
            self.unrecovered += message.get("recovered") is False
            if "offset" in message:
                self.offsets.append(message["offset"])


async def read_figures(address: tuple[str, int]) -> Figures:
    """Read the figures over a TCP connection of its own, so that any worker may answer."""
    url = f"http://127.0.0.1:{address[1]}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        assert response.status == 200
        text = await response.text()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.type != "histogram"
    }
