"""Tests of `gateway routes`: what a file serves."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path


def test_the_list(
    command: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """Each route stands with its handlers and policy, whole, whatever characters are in them."""
    write("""
        routes:
          - path: /plain
          - path: /chat/{room}
            name: chat
            handlers: [echo, {name: echo, options: {announce: true}}]
            allowed_origins: ["https://*.example.com", "http://[fe80::1]:3000"]
            allow_missing_origin: true
            authenticate: [token]
            groups: [everyone, "user:{user}", "room:{room}"]
            subprotocols: [v2.chat, v1.chat]
            require_subprotocol: true
    """)
    done = command("routes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == dedent("""\
        /plain
          handlers      none
          origins       its own
          authenticate  anyone
        /chat/{room}
          name          chat
          handlers      echo, echo
          origins       https://*.example.com, http://[fe80::1]:3000, or without one
          authenticate  token
          groups        everyone, user:{user}, room:{room}
          subprotocols  v2.chat, v1.chat (one is required)
        """)


def test_a_bad_file(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """A file with errors is told as `gateway check` tells it."""
    write("routes: [{path: /a, handlers: [ecco]}]")
    done = inside("routes")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("gateway.yaml:1:")
