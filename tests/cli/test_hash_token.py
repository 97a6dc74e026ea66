"""Tests of `gateway hash-token`: from a token to the line of gateway.yaml, and back."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

TOKEN = "tok-" + "0123456789/abc"
LINE = f"hash: sha256:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n"
COMMAND = [sys.executable, "-m", "gateway", "hash-token"]


def given(text: bytes) -> Result:
    """Run the command with a token on its standard input, in this process."""
    return CliRunner().invoke(app, ["hash-token"], input=text)


def test_a_token_from_a_pipe() -> None:
    """What comes through a pipe is the token."""
    done = subprocess.run(COMMAND, input=TOKEN.encode(), capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, LINE, b"")


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_the_line_is_no_part_of_the_token(end: bytes) -> None:
    """The line has the hash of the token alone."""
    done = given(TOKEN.encode() + end)
    assert (done.exit_code, done.stdout, done.stderr) == (0, LINE, "")


def test_a_generated_token(
    inside: Callable[..., subprocess.CompletedProcess[str]], write: Callable[[str], Path]
) -> None:
    """The token has 256 random bits, is never the same, and gateway.yaml takes the line as it is printed."""
    done, other = inside("hash-token", "--generate"), inside("hash-token", "--generate")
    match = re.fullmatch(r"token: ([A-Za-z0-9_-]{43})\n(hash: sha256:[0-9a-f]{64})\n", done.stdout)
    assert match is not None
    assert done.stdout != other.stdout
    token, line = match.groups()
    file = write(f"api: {{tokens: [{{name: a, {line}}}]}}\n")
    assert load_config(file).config.api.tokens[0].digest == hashlib.sha256(token.encode()).digest()
    assert given(token.encode()).stdout == line + "\n"


@pytest.mark.parametrize(
    ("token", "fact"),
    [
        (b"fifteen-chars-x", "token too short: 15 characters, at least 16"),
        (b"", "token too short: 0 characters"),
        (b"x" * 4097, "token too long, limit 4096 characters"),
        (b"x" * 100_000, "token too long, limit 4096 characters"),
        (b"two words with spaces", "token has a character that no authorization header can carry"),
        (b"two-lines-\nof-text-", "token has a character"),
        ("grüße-aus-der-ferne".encode(), "token has a character"),
        (b"\xff\xfe" * 10, "token has a character"),
        (b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "token has the form of a jwt"),
    ],
)
def test_what_is_no_good_token(token: bytes, fact: str) -> None:
    """A token that is too short, or could not be sent, is refused with a reason that does not repeat it."""
    done = given(token)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(fact)
    assert done.stderr.count("\n") == 1
    if token:
        assert token not in done.stderr_bytes


def test_a_token_at_a_terminal() -> None:
    """At a terminal the token is asked for twice, and not shown."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        COMMAND, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        shown = b""
        for _ in range(2):
            asked = shown.count(b": ")
            while shown.count(b": ") == asked:
                shown += os.read(ours, 1000)
            os.write(ours, TOKEN.encode() + b"\n")
        assert process.stdout is not None
        assert process.stdout.read().decode() == LINE
        assert process.wait(20) == 0
    os.close(ours)
    assert TOKEN.encode() not in shown
