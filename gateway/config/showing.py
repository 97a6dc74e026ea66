"""How a value appears in a message: short ones as they are, and what may be a secret not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN: Final = "********"
"""What stands in place of a secret."""

_LONGEST_SHOWN = 60
# RFC 3986 section 3: what stands before the host, and what comes with a question mark or a hash.
_USER_OF_URL = re.compile(r"(?<=://)[^/?#]*(?=@)")
_QUERY_OF_URL = re.compile(r"(?<=[?#]).+", re.DOTALL)
_KEYS_OF_SECRETS = re.compile(r"token|secret|passw|credential|private|(?:^|_)key(?:$|_)", re.IGNORECASE)


def show(value: Any) -> str:
    """Return a value as a message shows it: in quotes if a text, and only described if long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST_SHOWN else f"a text of {len(value)} characters"
    if isinstance(value, (int, float)):
        return str(value)
    return "a mapping" if isinstance(value, Mapping) else "a list"


def show_variables(names: Iterable[str], value: Any) -> str:
    """Return what a message says for a value that came from the environment: whence, and at most its type."""
    if value is None or value == "":
        kind = "empty"
    elif isinstance(value, bool):
        kind = "true or false"
    else:
        kind = "a number" if isinstance(value, (int, float)) else "a text"
    return f"the value of {' and '.join(f'${name}' for name in names)} ({kind})"


def written(names: Iterable[str]) -> str:
    """Return what stands for a text that came from the environment: its variables, as a file writes them."""
    return "".join(f"${{{name}}}" for name in names)


def without_secrets(text: str) -> str:
    """Return a text without what may be secret in it as a URL: user and password, query and fragment."""
    if "://" not in text:
        return text
    return _QUERY_OF_URL.sub(HIDDEN, _USER_OF_URL.sub(HIDDEN, text))


def sounds_secret(key: str | int) -> bool:
    """Tell whether a key's name suggests that its value is not for showing, whatever its declared type."""
    return isinstance(key, str) and _KEYS_OF_SECRETS.search(key) is not None
