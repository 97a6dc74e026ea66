"""What a connection to NATS is opened with: credentials and certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import nkeys
from nats.aio.client import RawCredentials

from gateway.broker.link import FileFaultError
from gateway.broker.tls import client_context

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import NatsBrokerConfig

__all__ = ["connect_options", "read_credentials", "read_seed"]

_FOREVER: Final = 365 * 86_400
_PARTS: Final = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")


def connect_options(config: NatsBrokerConfig) -> dict[str, Any]:
    """Give the options of nats-py's `connect`. It reads files, and so belongs into a thread.

    Raises:
        FileFaultError: If a file cannot be read or is not what it should be.
    """
    options: dict[str, Any] = {
        "connect_timeout": config.connect_timeout_seconds,
        "ping_interval": _FOREVER,  # the gateway's own probes prove more
    }
    if config.user:
        options |= {"user": config.user, "password": config.password.get_secret_value()}
    if config.token.get_secret_value():
        options["token"] = config.token.get_secret_value()
    if config.credentials_file is not None:
        options["user_credentials"] = RawCredentials(read_credentials(config.credentials_file))
    if config.nkey_file is not None:
        options["nkeys_seed_str"] = read_seed(config.nkey_file)
    if config.secure:
        options["tls"] = client_context(config.tls)
        options["tls_handshake_first"] = config.tls_first
    return options


def read_credentials(path: Path) -> str:
    """Read a file with a JWT and a seed.

    Raises:
        FileFaultError: If it cannot be read, or they are not in it.
    """
    text = _read("credentials_file", path)
    if not all(part in text for part in _PARTS):
        # nats-py would look for them for ever.
        raise FileFaultError(("credentials_file",), "no jwt and seed are in it, as nsc writes them")
    return text


def read_seed(path: Path) -> str:
    """Read a file with the seed of an NKey.

    Raises:
        FileFaultError: If it cannot be read, or is none.
    """
    seed = _read("nkey_file", path).strip()
    try:
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except Exception:  # noqa: BLE001 - the library raises what its parts raise
        raise FileFaultError(("nkey_file",), "not the seed of an nkey") from None
    return seed


def _read(key: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise FileFaultError((key,), f"cannot be read: {(exc.strerror or str(exc)).lower()}") from None
    except UnicodeDecodeError:
        raise FileFaultError((key,), "not a text") from None
