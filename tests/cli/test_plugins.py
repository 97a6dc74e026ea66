"""Tests of `gateway plugins`: what is installed, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gateway

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable


def test_the_list(
    command: Callable[..., subprocess.CompletedProcess[str]], install: Callable[[str, str, str], None]
) -> None:
    """Each plugin stands with its distribution, version, handlers and ways; a long name is not cut."""
    name = "a-handler-with-a-name-that-is-longer-than-most-terminals-would-like-to-show-in-one-cell"
    source = f"""
        import gateway

        @gateway.hookimpl
        def gateway_handlers():
            return {{"{name}": gateway.Handler}}
    """
    install("shout-plugin", "shout", source)
    done = command("plugins")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["plugin", "distribution", "version", "handlers", "ways", "to", "authenticate"]
    ways = ["cookie,", "forward,", "jwt,", "mtls,", "ticket,", "token"]
    assert ["builtin", "(the", "gateway)", gateway.__version__, *ways] in rows
    assert ["shout", "shout-plugin", "1.2", name] in rows
    assert any(row[:2] == ["echo", "gateway-echo"] for row in rows)


def test_what_is_wrong(
    inside: Callable[..., subprocess.CompletedProcess[str]], install: Callable[[str, str, str], None]
) -> None:
    """A plugin with a problem is told after the list of the others, and the exit status is 1."""
    install(
        "shout-plugin", "shout", "import gateway\n\n@gateway.hookimpl\ndef gateway_options(): return dict\n"
    )
    done = inside("plugins")
    assert done.returncode == 1
    assert "echo" in done.stdout
    fact = "hook gateway_options gave the class dict, not a subclass of gateway.Options"
    assert done.stderr == f"plugin 'shout' of distribution 'shout-plugin': {fact}\n"
