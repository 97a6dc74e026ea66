"""Checks of what the configuration refers to: the certificate and its key."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config.load import Loaded
    from gateway.config.problems import Problem


def check_certificates(loaded: Loaded) -> tuple[Problem, ...]:
    """Load the certificate and the key of `listen.tls`; return what is wrong, nothing without TLS."""
    tls = loaded.config.listen.tls
    if tls is None:
        return ()
    place = ("listen", "tls")
    problems = [
        loaded.problem((*place, key), message)
        for key, file in (("certificate", tls.certificate), ("key", tls.key))
        if (message := _unreadable(file)) is not None
    ]
    if problems:
        return tuple(problems)
    key, message = _unloadable(tls.certificate, tls.key)
    return () if message is None else (loaded.problem((*place, key), message),)


def _unreadable(file: Path) -> str | None:
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except FileNotFoundError:
        return "file not found"
    except OSError as error:
        return f"file cannot be read: {(error.strerror or type(error).__name__).lower()}"
    except ValueError:
        return "file name is not valid"
    return None


def _unloadable(certificate: Path, key: Path) -> tuple[str, str | None]:
    """Return which of the two files is at fault, and its fault; None when both load."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=certificate)
    except (ssl.SSLError, OSError):
        return "certificate", "file holds no certificate in pem form"
    asked: list[bool] = []

    def refuse_password() -> str:
        # Without this callback OpenSSL would ask on the terminal and the gateway would hang.
        asked.append(True)
        return ""

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        if asked:
            return "key", "key is encrypted, and the gateway has no password for it"
        if error.reason == "KEY_VALUES_MISMATCH":
            return "key", "key does not belong to the certificate"
        return "key", f"certificate and key do not load: {(error.reason or 'no reason given').lower()}"
    except OSError as error:
        return "key", f"certificate and key do not load: {(error.strerror or type(error).__name__).lower()}"
    return "key", None
