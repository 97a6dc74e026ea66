"""The rules between values that concern groups and what their members are told: history, presence, gaps.

As in `rules`, each takes what could be read, and None for what could not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.config.models.base import Finding

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_SPECIAL: Final = frozenset("?[")
_LINKED: Final = frozenset({"nats", "valkey", "redis"})
_SHARE_THE_KEY: Final = (
    'set resume.key, as "${GATEWAY_RESUME_KEY}", to one secret of 32 bytes or more everywhere'
)


def presence_findings(presence: str | None, given: Collection[str]) -> list[Finding]:
    """Find settings of presence where nobody's presence is shown.

    Args:
        presence: `off`, `members` or `count`; None where it cannot be judged.
        given: The keys of the policy that have a value.
    """
    findings = []
    if presence == "off":
        findings += [
            Finding((key,), f"{key} is set, and presence is off", advice="set presence: true")
            for key in ("presence_claims", "presence_grace_seconds")
            if key in given
        ]
    if presence == "count" and "presence_claims" in given:
        fact = "presence_claims is set, and presence only counts"
        findings.append(Finding(("presence_claims",), fact, advice="set presence: true"))
    return findings


def gap_findings(envelope: str | None, on_gap: str | None) -> list[Finding]:
    """Find gaps that would have to be told to clients which get messages as they are.

    Args:
        envelope: The route's `envelope`; None where it cannot be judged.
        on_gap: Its `on_gap`.
    """
    if on_gap == "tell" and envelope == "none":
        fact = "a gap is told in an envelope, and envelope is none"
        return [Finding(("on_gap",), fact, advice="set envelope: json, or on_gap: close")]
    return []


def ping_findings(interval: float | None, timeout: float | None) -> list[Finding]:
    """Find a ping interval that is longer than the time for the answer.

    With this rule a client that is gone is noticed within twice the timeout.

    Args:
        interval: Seconds between pings, 0 for none; None where it cannot be judged.
        timeout: Seconds for a pong.
    """
    if interval is None or timeout is None or interval <= timeout:
        return []
    fact = (
        f"ping is longer than its timeout: one every {interval:g} seconds, pong_timeout_seconds {timeout:g}"
    )
    advice = f"set pong_timeout_seconds to {interval:g} or more, or ping at least every {timeout:g} seconds"
    return [Finding(("ping_interval_seconds",), fact, advice=advice)]


def resume_findings(
    kind: str | None, envelopes: Sequence[str | None], *, history: bool, key: bool
) -> list[Finding]:
    """Find tokens to resume with that no other machine would take.

    Args:
        kind: The broker's `type`; None where it cannot be judged.
        envelopes: The `envelope` of each route.
        history: Whether some group keeps history.
        key: Whether `resume.key` is set.
    """
    if kind not in _LINKED or key or not history:
        return []
    fact = "clients resume by tokens, and resume.key is not set: another machine would refuse them"
    return [
        Finding(("routes", index, "envelope"), fact, advice=_SHARE_THE_KEY)
        for index, envelope in enumerate(envelopes)
        if envelope == "json"
    ][:1]


def pattern_findings(patterns: Sequence[str | None]) -> list[Finding]:
    """Find policies whose pattern is fitted by no group that an earlier one does not take.

    Args:
        patterns: The pattern of each policy; None for what cannot be judged.
    """
    findings = []
    for index, pattern in enumerate(patterns):
        for first, earlier in enumerate(patterns[:index]):
            if pattern is not None and earlier is not None and _covers(earlier, pattern):
                more = (
                    f", first used by entry {first}" if pattern == earlier else f", entry {first} takes all"
                )
                findings.append(
                    Finding(("groups", index, "pattern"), "pattern can never match", pattern, more)
                )
                break
    return findings


def _covers(earlier: str, later: str) -> bool:
    """Tell whether every name that fits the later pattern fits the earlier; of some forms it is not known."""
    if earlier == later:
        return True
    if _SPECIAL.intersection(later):
        return False  # else what is special in the earlier one fits nothing in the later one
    first, *middle = earlier.split("*")
    if not middle:
        return False
    *middle, last = middle
    # As `*` itself can only be taken by a `*`, the later pattern is a text like any other.
    if len(later) < len(first) + len(last) or not (later.startswith(first) and later.endswith(last)):
        return False
    rest = later[len(first) : len(later) - len(last)]
    for part in middle:
        _, found, rest = rest.partition(part) if part else ("", "*", rest)
        if not found:
            return False
    return True
