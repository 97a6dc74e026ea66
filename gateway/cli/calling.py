"""What the commands share that call the HTTP API of a running gateway."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

import httpx
import typer

from gateway.cli.common import fail, printable
from gateway.cli.telling import as_text
from gateway.config import ConfigError, load_config

if TYPE_CHECKING:
    from gateway.config import GatewayConfig

__all__ = ["Api", "ApiFile", "ApiToken", "ApiUrl", "open_api", "read_json", "read_message"]

_SECONDS: Final = 15.0
# The wildcard addresses are for listening; one cannot connect to them everywhere.
_REACHED_AT: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104

ApiFile = Annotated[
    Path, typer.Option("--config", "-c", help="The file that says where the API is, and its token.")
]
ApiUrl = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="GATEWAY_URL",
        show_envvar=True,
        help="Where the API is: http://host:port. Default: as the file says.",
    ),
]
ApiToken = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="GATEWAY_API_TOKEN",
        show_envvar=True,
        help="A token of the API. Default: the first of the file that is no hash and has the scope.",
    ),
]


@dataclass(frozen=True)
class Api:
    """The API of a running gateway.

    Args:
        client: What asks it.
    """

    client: httpx.Client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def get(self, name: str, **query: Any) -> dict[str, Any]:
        """Ask for something; if that fails, print why and exit with status 1."""
        given = {key: value for key, value in query.items() if value is not None}
        return self._call("GET", name, params=given)

    def post(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Have something done; if that fails, print why and exit with status 1."""
        return self._call("POST", name, json=body)

    def _call(self, method: str, name: str, **options: Any) -> dict[str, Any]:
        try:
            response = self.client.request(method, f"/api/{name}", **options)
            answer = response.json()
        except httpx.InvalidURL:
            fail("not a URL, expected http://host:port")
        except httpx.TransportError as exc:
            fail(f"cannot ask {self.client.base_url}: {printable(str(exc) or type(exc).__name__)}")
        except ValueError:
            fail(f"{self.client.base_url} is not the API of a gateway")
        if not isinstance(answer, dict):
            fail(f"{self.client.base_url} is not the API of a gateway")
        if response.status_code != httpx.codes.OK:
            if answer.get("error") == "not_found":
                fail(f"there is no such API at {self.client.base_url}: no token is set, or it is elsewhere")
            fail(f"refused: {response.status_code} {printable(str(answer.get('message', '')))}")
        return answer

    @staticmethod
    def warn_of(answer: dict[str, Any]) -> None:
        """Print on standard error which nodes have not answered."""
        if answer["silent"]:
            typer.echo(f"no answer from {', '.join(map(printable, answer['silent']))}", err=True)
        elif not answer["complete"]:
            typer.echo("only this node has been asked: there is no link to the broker", err=True)


def open_api(file: Path, url: str | None, token: str | None, scope: str) -> Api:
    """Find out where the API is, and what opens it; if that fails, print why and exit with status 1.

    Args:
        file: The configuration file, which is not read if the others say all.
        url: Where the API is; `None` to look into the file.
        token: What opens it; `None` to look into the file.
        scope: What is to be done.
    """
    transport: httpx.HTTPTransport | None = None
    if url is None or not token:
        try:
            config = load_config(file, os.environ).config
        except ConfigError as exc:
            fail(as_text(exc.problems))
        if not token:
            token = _token(config, scope)
        if url is None:
            url, transport = _address(config)
    if not (token.isascii() and token.isprintable()):
        fail("token has a character that no header can carry")
    try:
        client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=_SECONDS,
            transport=transport,
            trust_env=False,
        )
    except httpx.InvalidURL:
        fail(f"not a URL: {printable(url)}: expected http://host:port")
    return Api(client)


def _token(config: GatewayConfig, scope: str) -> str:
    fitting = [entry.token.get_secret_value() for entry in config.api.active_tokens if scope in entry.scopes]
    found = next(filter(None, fitting), None)
    if found is None:
        fail(f"no token with the scope {scope}: give --token, or set GATEWAY_API_TOKEN")
    return found


def _address(config: GatewayConfig) -> tuple[str, httpx.HTTPTransport | None]:
    listen = config.listen
    if config.admin.port is None and listen.unix is not None:
        return "http://localhost", httpx.HTTPTransport(uds=os.fspath(listen.unix))
    host, port = (
        (listen.host, listen.port) if config.admin.port is None else (config.admin.host, config.admin.port)
    )
    if not port:
        fail("the port is a free one: give --url, or set GATEWAY_URL")
    host = _REACHED_AT.get(host, host)
    scheme = "https" if listen.tls is not None and config.admin.port is None else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}", None


def read_message(given: str) -> str:
    """Give a message; `-` stands for all of standard input, without the last end of line."""
    return sys.stdin.read().removesuffix("\n") if given == "-" else given


def read_json(text: str) -> Any:
    """Give a JSON value; if it is none, print why and exit with status 1."""
    try:
        return json.loads(text)
    except ValueError as exc:
        fail(f"message is not json: {exc}")
