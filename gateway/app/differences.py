"""What a restart with another configuration would change, in words."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from gateway.app.effective import DEFAULT, Leaf, Listing, Section

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.app.effective import Part

__all__ = ["differences"]

# By which key an entry of a list is known again, and what it is called.
_KNOWN_BY: Final[Mapping[str, tuple[str, str]]] = {
    "routes": ("name", "route"),
    "routes.handlers": ("name", "handler"),
    "groups": ("pattern", "policy of groups"),
    "api.tokens": ("name", "token of the api"),
    "authentication.token.keys": ("name", "key of the way token"),
    "authentication.jwt.issuers": ("issuer", "issuer"),
    "authentication.jwt.issuers.keys": ("id", "key"),
    "authentication.cookie.jwt.issuers": ("issuer", "issuer of cookies"),
    "authentication.cookie.jwt.issuers.keys": ("id", "key"),
    "listen.tls.more_certificates": ("certificate", "certificate"),
}


def differences(old: Section, new: Section) -> list[str]:
    """Compare two effective configurations; give a line for each change, none with a secret in it."""
    return list(_sections("", "", old, new))


def _sections(around: str, place: str, old: Section, new: Section) -> Iterator[str]:
    """Compare two sections.

    Args:
        around: What is told before a change, as `route 'live': `.
        place: The keys that lead to them, with a dot at the end, and `[]` for an entry of a list.
        old: What held.
        new: What would hold.
    """
    for key, part in new.parts.items():
        if key in old.parts:
            yield from _parts(around, f"{place}{key}", old.parts[key], part)
        elif _is_set(part):
            secret = isinstance(part, Leaf) and part.secret
            change = "is changed" if secret else f"is added{_with(part)}"
            yield f"{around}{_shown_path(place + key)} {change}"
    for key, part in old.parts.items():
        if key not in new.parts and _is_set(part):
            yield f"{around}{_shown_path(place + key)} is gone"


def _parts(around: str, place: str, old: Part, new: Part) -> Iterator[str]:
    if isinstance(old, Section) and isinstance(new, Section):
        yield from _sections(around, f"{place}.", old, new)
    elif isinstance(old, Listing) and isinstance(new, Listing):
        yield from _listings(around, place, old, new)
    elif isinstance(old, Leaf) and isinstance(new, Leaf):
        if old.value != new.value or type(old.value) is not type(new.value):
            if _same_number(old.value, new.value):
                return
            yield f"{around}{_shown_path(place)} {_change(old, new)}"
    elif isinstance(new, Leaf):
        yield f"{around}{_shown_path(place)} changes to {_shown(new)}"
    else:
        yield f"{around}{_shown_path(place)} is added{_with(new)}"


def _listings(around: str, place: str, old: Listing, new: Listing) -> Iterator[str]:
    known_by = _KNOWN_BY.get(_general(place))
    before, after = _by_name(old, known_by), _by_name(new, known_by)
    if before is None or after is None:
        if _plain(old) != _plain(new):
            yield f"{around}{_shown_path(place)} {_change(old, new)}"
        return
    assert known_by is not None  # noqa: S101 - else nothing is named
    what = known_by[1]
    for name, one in after.items():
        if name not in before:
            yield f"{around}{what} {name} is added{_with(one)}"
    for name in before:
        if name not in after:
            yield f"{around}{what} {name} is removed"
    common = [name for name in after if name in before]
    for name in common:
        inside = f"{place}[]." if place else ""
        yield from _sections(f"{around}{what} {name}: ", inside, before[name], after[name])
    if common != [name for name in before if name in after]:
        yield f"{around}{_shown_path(place)} change their order: {', '.join(after)}"


def _change(old: Part, new: Part) -> str:
    """Say what becomes of a value; not from what to what, if that is not for showing."""
    before, after = _shown(old), _shown(new)
    if _has_secret(old) or _has_secret(new) or before == after:
        return "is changed"
    return f"changes from {before} to {after}"


def _by_name(listing: Listing, known_by: tuple[str, str] | None) -> dict[str, Section] | None:
    """Give the entries of a list by name, with a number where a name comes again; None if they have none."""
    if known_by is None:
        return None
    found: dict[str, Section] = {}
    times: Counter[str] = Counter()
    for entry in listing.entries:
        named = entry.parts.get(known_by[0]) if isinstance(entry, Section) else None
        if not isinstance(entry, Section) or not isinstance(named, Leaf):
            return None
        name = repr(named.shown) if named.value is not None else "without an id"
        times[name] += 1
        found[name if times[name] == 1 else f"{name} ({times[name]})"] = entry
    return found


def _general(place: str) -> str:
    return place.replace("[]", "")


def _shown_path(place: str) -> str:
    """Give the keys of a place that come after what has been told before it."""
    return place.rpartition("[].")[2]


def _is_set(part: Part) -> bool:
    return part.origin != DEFAULT


def _with(part: Part) -> str:
    """Say what is set in something that is added."""
    if isinstance(part, Leaf):
        return f": {_shown(part)}"
    if isinstance(part, Listing):
        return f": {_shown(part)}"
    given = [
        f"{key} {_shown(one)}"
        for key, one in part.parts.items()
        if one.origin != DEFAULT
        and not isinstance(one, Section)
        and not (isinstance(one, Leaf) and one.secret)
    ]
    return f": {', '.join(given)}" if given else ""


def _plain(part: Part) -> Any:
    if isinstance(part, Leaf):
        return part.value
    if isinstance(part, Listing):
        return [_plain(one) for one in part.entries]
    return {key: _plain(one) for key, one in part.parts.items()}


def _has_secret(part: Part) -> bool:
    if isinstance(part, Leaf):
        return part.secret
    return any(map(_has_secret, part.entries if isinstance(part, Listing) else part.parts.values()))


def _shown(part: Part) -> str:
    if isinstance(part, Leaf):
        return (
            json.dumps(part.shown, ensure_ascii=False)
            if not isinstance(part.value, str)
            else repr(part.shown)
        )
    if isinstance(part, Listing):
        return "none" if not part.entries else ", ".join(map(_named, part.entries))
    return "a section"


def _named(part: Part) -> str:
    name = part.parts.get("name") if isinstance(part, Section) else None
    return _shown(name if name is not None else part)


def _same_number(old: Any, new: Any) -> bool:
    numbers = not isinstance(old, bool) and not isinstance(new, bool)
    return numbers and isinstance(old, int | float) and isinstance(new, int | float) and old == new
