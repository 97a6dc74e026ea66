"""Tests of the model of `listen: tls:`, and of the rules between its keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from gateway.config import TlsConfig
from gateway.config.models.base import Finding
from gateway.config.models.forms import check_server_name
from gateway.config.models.rules import client_certificate_findings, server_name_findings

if TYPE_CHECKING:
    from collections.abc import Callable

PAIR: dict[str, Any] = {"certificate": "c.pem", "key": "k.pem"}
TAKEN = "server name taken by another certificate"


def test_defaults() -> None:
    """Certificate and key alone make TLS, for every name and without clients' certificates."""
    assert TlsConfig(**PAIR).model_dump() == {
        "certificate": Path("c.pem"),
        "key": Path("k.pem"),
        "more_certificates": (),
        "min_version": "1.2",
        "client_certificates": "none",
        "client_ca": None,
        "reload_seconds": 10,
    }


def test_relative_paths() -> None:
    """Every relative path begins at the folder of the file that names it."""
    data = PAIR | {"client_certificates": "required", "client_ca": "ca.pem", "more_certificates": [PAIR]}
    tls = TlsConfig.model_validate(data, context={"folder": Path("/etc")})
    assert (tls.client_ca, tls.more_certificates[0].key) == (Path("/etc/ca.pem"), Path("/etc/k.pem"))


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"min_version": "1.1"}, ("min_version",)),
        ({"min_version": 1.3}, ("min_version",)),
        ({"client_certificates": None}, ("client_certificates",)),
        ({"client_certificates": "optional"}, ("client_certificates",)),
        ({"client_certificates": "required", "client_ca": None}, ("client_certificates",)),
        ({"client_ca": "ca.pem"}, ("client_ca",)),
        ({"reload_seconds": 0}, ("reload_seconds",)),
        ({"more_certificates": [PAIR | {"server_names": []}]}, ("more_certificates", 0, "server_names")),
        (
            {"more_certificates": [PAIR | {"server_names": ["a.test", "A.test"]}]},
            ("more_certificates", 0, "server_names", 1),
        ),
        (
            {"more_certificates": [PAIR | {"server_names": ["a.test"]}, PAIR | {"server_names": ["A.Test"]}]},
            ("more_certificates", 1, "server_names", 0),
        ),
    ],
)
def test_refused(data: dict[str, Any], place: tuple[str | int, ...]) -> None:
    """Each value that is wrong, alone or beside others, is told at its place."""
    with pytest.raises(ValidationError) as caught:
        TlsConfig.model_validate(PAIR | data)
    assert [error["loc"] for error in caught.value.errors()] == [place]


def test_places_in_a_file(refusals: Callable[..., list[str]]) -> None:
    """The rules name line and column, in a file without other errors and in one with them."""
    text = (
        "listen:\n  tls:\n    certificate: a\n    key: b\n    client_certificates: required\n"
        "    more_certificates: [{certificate: a, key: b, server_names: [a.test]},\n"
        "                        {certificate: a, key: b, server_names: [b.test, a.test]}]\n"
    )
    lines = [
        "5:26: listen.tls.client_certificates: client certificates are asked for, and client_ca is not set",
        f"7:73: listen.tls.more_certificates[1].server_names[1]: {TAKEN}: 'a.test', first used by entry 0",
    ]
    lines = [f"gateway.yaml:{line}" for line in lines]
    assert refusals(text) == lines
    assert refusals(text + "nothing: 1") == [*lines, "gateway.yaml:8:1: nothing: unknown key"]


@pytest.mark.parametrize(
    "name", ["example.com", "*.example.com", "Localhost", "xn--caf-dma.test", "a_b.c-d.e1"]
)
def test_server_names(name: str) -> None:
    """Host names and wildcards of one are server names, in lower case."""
    assert check_server_name(name) == name.lower()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "a.*.test",
        "*a.test",
        "a.test.",
        ".test",
        "a b",
        "café.test",
        "127.0.0.1",
        "::1",
        "a:1",
        "https://a",
    ],
)
def test_no_server_names(name: str) -> None:
    """Addresses, ports, URLs and wildcards in the middle are none."""
    with pytest.raises(PydanticCustomError, match="server name is not"):
        check_server_name(name)


@pytest.mark.parametrize(
    ("asked", "given", "place"),
    [
        ("none", False, None),
        ("none", True, "client_ca"),
        ("optional", False, "client_certificates"),
        ("required", False, "client_certificates"),
        ("optional", True, None),
        ("required", True, None),
        (None, True, None),
        (None, False, None),
    ],
)
def test_client_certificate_findings(asked: str | None, given: bool, place: str | None) -> None:
    """Asking and an authority belong together; what cannot be judged is left alone."""
    findings = client_certificate_findings(asked=asked, given=given)
    assert [finding.path for finding in findings] == ([] if place is None else [(place,)])


def test_server_name_findings() -> None:
    """A name in two entries is found at the later one; one entry's own repeats are not this rule's."""
    entries = [["a", "b", "b"], None, [None, "c", "A"], ["c"]]
    assert server_name_findings(entries) == [
        Finding(("more_certificates", 2, "server_names", 2), TAKEN, "A", ", first used by entry 0"),
        Finding(("more_certificates", 3, "server_names", 0), TAKEN, "c", ", first used by entry 2"),
    ]
