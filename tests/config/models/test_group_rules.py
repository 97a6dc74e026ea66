from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.config.models.group_rules import pattern_findings, ping_findings

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Loaded

KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("broken", ["", "\nbogus: 1"], ids=["alone", "beside another error"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "groups: [{pattern: a, presence_claims: [x], presence_grace_seconds: 3}]",
            [
                "1:40: groups[0].presence_claims: presence_claims is set, and presence is off",
                "1:69: groups[0].presence_grace_seconds: presence_grace_seconds is set, and presence is off",
            ],
        ),
        (
            "groups: [{pattern: a, presence: count, presence_claims: [x]}]",
            ["1:57: groups[0].presence_claims: presence_claims is set, and presence only counts"],
        ),
        (
            "routes: [{path: /a, on_gap: tell}]",
            ["1:29: routes[0].on_gap: a gap is told in an envelope, and envelope is none"],
        ),
        (
            "routes: [{path: /a, limits: {ping_interval_seconds: 21}}]",
            [
                (
                    "1:53: routes[0].limits.ping_interval_seconds: ping is longer than its timeout: "
                    "one every 21 seconds, pong_timeout_seconds 20"
                )
            ],
        ),
        (
            (
                "routes: [{path: /a}, {path: /b, envelope: json}]\ngroups: [{pattern: a, history: {}}]\n"
                "broker: {type: valkey}"
            ),
            [
                (
                    "1:43: routes[1].envelope: clients resume by tokens, and resume.key is not set: "
                    "another machine would refuse them"
                )
            ],
        ),
        (
            'groups: [{pattern: "r:*"}, {pattern: "r:1"}, {pattern: "r:*"}]',
            [
                "1:38: groups[1].pattern: pattern can never match: 'r:1', entry 0 takes all",
                "1:56: groups[2].pattern: pattern can never match: 'r:*', first used by entry 0",
            ],
        ),
        (
            (
                'routes: [{path: /a, authenticate: [mtls], allowed_origins: ["*"]}]\n'
                "listen: {tls: {certificate: a, key: a, client_certificates: required, client_ca: a}}"
            ),
            [
                (
                    "1:61: routes[0].allowed_origins[0]: a client certificate proves the identity, "
                    "and any page may connect: '*'"
                )
            ],
        ),
    ],
)
def test_refused(refusals: Callable[..., list[str]], text: str, expected: list[str], broken: str) -> None:
    """Each rule finds its mistake, in a file that is good otherwise and in one that is not."""
    lines = [line.removeprefix("gateway.yaml:") for line in refusals(text + broken)]
    assert [line for line in lines if "bogus" not in line] == expected


@pytest.mark.parametrize(
    "text",
    [
        "groups: [{pattern: a, presence: true, presence_claims: [x], presence_grace_seconds: 3}]",
        "groups: [{pattern: a, presence: count, presence_grace_seconds: 3}]",
        "groups: [{pattern: a, presence: off, presence_claims: []}]",
        "routes: [{path: /a, on_gap: tell, envelope: json}, {path: /b, on_gap: close}]",
        "routes: [{path: /a, limits: {ping_interval_seconds: 20}}]",
        "routes: [{path: /a, limits: {ping_interval_seconds: 0, pong_timeout_seconds: 1}}]",
        "routes: [{path: /b, envelope: json}]\ngroups: [{pattern: a, history: {}}]",
        "routes: [{path: /b, envelope: json}]\nbroker: {type: nats}",
        "routes: [{path: /b}]\ngroups: [{pattern: a, history: {}}]\nbroker: {type: nats}",
        (
            "routes: [{path: /b, envelope: json}]\ngroups: [{pattern: a, history: {}}]\n"
            f"broker: {{type: nats}}\nresume: {{key: {KEY}}}"
        ),
        'groups: [{pattern: "r:1"}, {pattern: "r:*"}, {pattern: "*"}]',
        "resume: {key: }",
    ],
)
def test_good(load: Callable[..., Loaded], text: str) -> None:
    """What fits together is let through."""
    assert load(text).config is not None


@pytest.mark.parametrize("length", [1, 31])
def test_short_key(refusals: Callable[..., list[str]], length: int) -> None:
    """A key that could be guessed is refused, and not shown."""
    (line,) = refusals(f"resume: {{key: {'k' * length}}}")
    assert line == f"gateway.yaml:1:15: resume.key: secret too short: {length} bytes, at least 32 bytes"


def test_numbers_that_cannot_be_judged() -> None:
    """Nothing is held against a number that is wrong in itself."""
    assert ping_findings(None, 1) == ping_findings(60, None) == []


@pytest.mark.parametrize(
    ("earlier", "later", "covered"),
    [
        ("*", "anything", True),
        ("a*", "ab*", True),
        ("a*b*c", "a-b-*-c", True),
        ("a*b*c", "a*c", False),
        ("a*", "*", False),
        ("*a", "*ba", True),
        ("aa*aa", "aaa", False),
        ("a", "a*", False),
        ("a?*", "ab", False),
        ("a*", "[ab]*", False),
    ],
)
def test_covered_patterns(earlier: str, later: str, covered: Any) -> None:
    """A pattern is found useless only where that is sure."""
    assert bool(pattern_findings([earlier, None, later])) is covered
