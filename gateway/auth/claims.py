"""What proved claims mean: the user and the groups, or a refusal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gateway.protocol.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["groups_of", "user_of"]

_MOST_CHARACTERS: Final = 512
# Control characters, and halves of characters, which no UTF-8 can hold.
_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def user_of(claims: Mapping[str, object], name: str) -> str:
    """Give the user that a claim names.

    Raises:
        Refused: `unauthorized`, if the claim is not a text of 1 to 512 characters without control characters.
    """
    user = claims.get(name)
    if not isinstance(user, str) or not _is_name(user):
        raise refuse("unauthorized", "claim of the user holds no user id")
    return user


def groups_of(claims: Mapping[str, object], name: str | None, most: int) -> tuple[str, ...]:
    """Give the groups that a claim lists; none without the claim.

    Args:
        claims: What was proved.
        name: The claim; `None` for none.
        most: How many it may list.

    Raises:
        Refused: `unauthorized`, if the claim is not a list of names, holds too many of them, or one of the
            gateway's own, which begin with `$`.
    """
    listed = claims.get(name) if name is not None else None
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise refuse("unauthorized", "claim of the groups holds no list")
    if len(listed) > most:
        raise refuse(
            "unauthorized", f"claim of the groups holds {len(listed)}, limit {most}", limit="max_groups"
        )
    for group in listed:
        if not isinstance(group, str) or not _is_name(group) or group.startswith("$"):
            raise refuse("unauthorized", "claim of the groups holds what no group can be named")
    return tuple(dict.fromkeys(listed))


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _MOST_CHARACTERS and _UNFIT.search(text) is None
