from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.broker.check import check_broker_files
from gateway.config import load_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[str]]:
    """A function that gives the lines about a `broker:`, in a folder with good and bad files."""
    authority = trustme.CA()
    issued = authority.issue_cert("client@example.com")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    issued.private_key_pem.write_to_path(tmp_path / "client.key")
    (tmp_path / "junk").write_text("hush")
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "seed.nk").write_text("SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU\n")

    def check(broker: str) -> list[str]:
        file = tmp_path / "gateway.yaml"
        file.write_text(f"broker: {{{broker}}}")
        found = [str(problem) for problem in check_broker_files(load_config(file, {}))]
        assert not any("hush" in line for line in found)
        return [line.removeprefix(f"{file}:") for line in found]

    return check


@pytest.mark.parametrize(
    "broker",
    [
        "type: memory",
        "type: other, tls: {ca: none.pem}",
        "type: nats",
        "type: nats, tls: {ca: ca.pem, certificate: client.pem, key: client.key}, nkey_file: seed.nk",
        "type: valkey, tls: {ca: ca.pem}",
    ],
)
def test_good_files(problems: Callable[[str], list[str]], broker: str) -> None:
    """Where everything can be used there is nothing to say."""
    assert problems(broker) == []


def test_all_of_them_are_told(problems: Callable[[str], list[str]]) -> None:
    """Every file that cannot be used at once."""
    lines = problems("type: nats, nkey_file: junk, tls: {ca: junk, certificate: none, key: none}")
    assert [line.split(": ")[1] for line in lines] == [
        "broker.tls.ca",
        "broker.tls.certificate",
        "broker.nkey_file",
    ]


@pytest.mark.parametrize(
    ("broker", "line"),
    [
        ("type: nats, tls: {ca: none.pem}", "1:32: broker.tls.ca: cannot be read: no such file or directory"),
        ("type: nats, tls: {ca: junk}", "1:32: broker.tls.ca: not pem, or not what it should be"),
        (
            "type: valkey, tls: {certificate: none.pem, key: client.key}",
            "1:43: broker.tls.certificate: cannot be read: no such file or directory",
        ),
        (
            "type: nats, tls: {certificate: ca.pem, key: client.key}",
            "1:41: broker.tls.certificate: not pem, or not what it should be",
        ),
        ("type: nats, nkey_file: none", "1:33: broker.nkey_file: cannot be read: no such file or directory"),
        ("type: nats, nkey_file: junk", "1:33: broker.nkey_file: not the seed of an nkey"),
        ("type: nats, nkey_file: binary", "1:33: broker.nkey_file: not a text"),
        (
            "type: nats, credentials_file: junk",
            "1:40: broker.credentials_file: no jwt and seed are in it, as nsc writes them",
        ),
        ("type: nats, credentials_file: .", "1:40: broker.credentials_file: cannot be read: is a directory"),
    ],
)
def test_files_that_cannot_be_used(problems: Callable[[str], list[str]], broker: str, line: str) -> None:
    """Each is told at its place, and nothing of its content."""
    assert problems(broker) == [line]


def test_an_authority_that_has_ended(problems: Callable[[str], list[str]], tmp_path: Path) -> None:
    """No server of the broker is trusted by an authority that has ended."""
    past = datetime.now(UTC) - timedelta(days=1)
    ended = trustme.CA().issue_cert("ca.test", not_before=past - timedelta(days=9), not_after=past)
    ended.cert_chain_pems[0].write_to_path(tmp_path / "ended.pem")
    (line,) = problems("type: nats, tls: {ca: ended.pem}")
    assert line.startswith("1:32: broker.tls.ca: certificate of ")
    assert "has ended, on " in line
