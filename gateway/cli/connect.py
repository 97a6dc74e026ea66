"""`gateway connect`: a client for the terminal, and for pipes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from gateway.cli.common import fail, printable

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection
    from websockets.typing import Origin, Subprotocol
    from websockets.uri import WebSocketURI

__all__ = ["connect"]

_OPENING_SECONDS: Final = 10


def connect(
    url: Annotated[str, typer.Argument(help="Where to connect: ws://host:port/path, or wss://.")],
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", help="A field of the request, 'Name: value'. Repeatable."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="GATEWAY_TOKEN", show_envvar=True, help="Sent as 'Authorization: Bearer TOKEN'."),
    ] = None,
    subprotocol: Annotated[
        list[str] | None, typer.Option("--subprotocol", "-s", help="Offered, in this order. Repeatable.")
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(help="The Origin; '' for none. Default: that of the URL, as of its own page."),
    ] = None,
    binary: Annotated[
        bool, typer.Option("--binary", "-b", help="Lines are hexadecimal, and sent as binary messages.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Behind the last line of a pipe: end after so many silent seconds.")
    ] = 1.0,
) -> None:
    """Open a connection; send each line that is typed or piped in, and print each message that comes.

    A binary message is printed as 0x and its bytes. On a terminal, lines that begin with a slash are
    commands; /help lists them, and Ctrl-D closes. The proxy that https_proxy, http_proxy or socks_proxy
    names is used, unless no_proxy names the host; to this machine itself none is. The exit status is 0 after
    an end with 1000 or 1001, or by this side; 1 if there was no connection; 102 to 115 for the close codes
    1002 to 1015, and 120 for those from 3000 up.
    """
    # Other commands need none of it.
    from gateway.cli.conversation import Conversation  # noqa: PLC0415

    socket = _open(url, _fields(header or [], token), subprotocol or [], origin)
    raise typer.Exit(Conversation(socket, binary=binary, wait_seconds=wait).hold())


def _fields(given: list[str], token: str | None) -> list[tuple[str, str]]:
    """Take fields of the request apart."""
    fields: list[tuple[str, str]] = []
    for field in given:
        name, colon, value = field.partition(":")
        if not (colon and name.strip() and (name + value).isprintable()):
            fail("not a header, expected 'Name: value'")
        fields.append((name.strip(), value.strip()))
    if token is not None:
        if not token.isprintable() or not token.isascii():
            fail("token has a character that no header can carry")
        fields.append(("Authorization", f"Bearer {token}"))
    return fields


def _open(
    url: str, fields: list[tuple[str, str]], subprotocols: list[str], origin: str | None
) -> ClientConnection:
    from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI  # noqa: PLC0415
    from websockets.sync.client import connect as open_connection  # noqa: PLC0415
    from websockets.uri import parse_uri  # noqa: PLC0415

    try:
        target = parse_uri(url)
    except (InvalidURI, ValueError):
        fail(f"not a WebSocket URL: {printable(url)}: expected ws://host:port/path")
    if origin is None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        origin = f"http{'s' if target.secure else ''}://{host}:{target.port}"
    proxy, through = _way(target)
    try:
        return open_connection(
            url,
            proxy=proxy,
            additional_headers=fields,
            subprotocols=cast("list[Subprotocol]", subprotocols) or None,
            origin=cast("Origin", origin) if origin else None,
            open_timeout=_OPENING_SECONDS,
            max_size=None,
            max_queue=None,
        )
    except InvalidStatus as exc:
        response = exc.response
        fail(f"refused: {response.status_code} {printable(response.reason_phrase)}{_why(response.body)}")
    except TimeoutError:
        fail(f"cannot connect{through}: no answer within {_OPENING_SECONDS} seconds")
    except (InvalidHandshake, EOFError) as exc:
        fail(f"cannot connect{through}: {printable(str(exc))}")
    except OSError as exc:
        fail(f"cannot connect{through}: {(exc.strerror or str(exc)).lower()}")
    except ImportError:
        fail(f"cannot connect{through}: a SOCKS proxy needs 'pip install python-socks'")
    except KeyboardInterrupt:
        sys.exit(130)


def _way(target: WebSocketURI) -> tuple[str | None, str]:
    """Give the proxy on the way, and words that name it; nothing where there is none.

    Whoever has a proxy in the environment for the world outside still means this machine by `localhost`.
    """
    from websockets.exceptions import InvalidProxy  # noqa: PLC0415
    from websockets.proxy import get_proxy, parse_proxy  # noqa: PLC0415

    from gateway.config.models.forms import is_loopback  # noqa: PLC0415

    url = None if is_loopback(target.host) else get_proxy(target)
    if url is None:
        return None, ""
    # The URL itself may hold a password.
    try:
        proxy = parse_proxy(url)
    except InvalidProxy as exc:
        fail(f"not a proxy, as the environment names it: {printable(exc.msg)}")
    except ValueError:
        fail("not a proxy, as the environment names it: expected http://host:port")
    return url, f" through the proxy {printable(f'{proxy.scheme}://{proxy.host}:{proxy.port}')}"


def _why(body: bytes | bytearray) -> str:
    """Give the message of a refusal, as the gateway words it; empty if there is none."""
    try:
        return f": {printable(str(json.loads(body)['message']))}"
    except (ValueError, KeyError, TypeError):
        return ""
