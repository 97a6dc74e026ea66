"""The one way from an opening to an identity, for WebSocket routes and for the HTTP API alike."""

from __future__ import annotations

import math
import time
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.core.identity import Identity
from gateway.core.stepping import HandlerExit, as_coroutine
from gateway.protocol.refusals import Refusal, Refused, refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from gateway.core.opening import Opening
    from gateway.core.revocations import Revocations
    from gateway.plugin.authenticator import Authenticator

__all__ = ["Asked", "ask_admission", "asked_at", "authenticate"]


class Asked(NamedTuple):
    """A way or an admission hook that is asked, or was when it failed."""

    name: str
    """The way's name, or the plugin's whose hook it is."""
    is_way: bool
    function: Callable[..., Any]


async def authenticate(
    opening: Opening, ways: Sequence[tuple[str, Authenticator[Any]]], revocations: Revocations
) -> Identity | None:
    """Ask ways in their order; the first that finds credentials of its kind decides.

    Args:
        opening: What is judged, with the credential that `gateway.auth.credentials.find` found in it. Its
            identity is set.
        ways: The ways, with their names.
        revocations: Identities that are not taken any more.

    Returns:
        The identity; `None` only where there are no ways.

    Raises:
        Refused: By the way that decides; `unauthorized` if none finds credentials of its kind, or if the
            identity has ended or is revoked.
        TypeError: If a way gives something other than an identity, or one whose end is no time.
    """
    for name, way in ways:
        identity = await _answer(way.authenticate, opening)
        if isinstance(identity, Identity) and isinstance(identity.user, str):
            if identity.expires_at is not None:
                if not math.isfinite(identity.expires_at):
                    raise TypeError(f"way {name!r} ({type(way).__name__}) gave an end that is no time")
                if identity.expires_at <= time.time():
                    raise refuse("unauthorized", "identity has ended")
            if revocations.covers(identity):
                raise refuse("unauthorized", "identity is revoked")
            opening.identity = identity
            return identity
        if identity is not None:
            raise TypeError(f"way {name!r} ({type(way).__name__}) gave {type(identity).__name__}")
    if ways:
        raise refuse("unauthorized", "no credentials")
    return None


async def ask_admission(
    opening: Opening, hooks: Iterable[tuple[str, Callable[..., Any]]], revocations: Revocations
) -> None:
    """Ask the plugins' admission hooks, which have the last word.

    Args:
        opening: What is judged; its identity is known.
        hooks: The hooks, with the plugins' names.
        revocations: Identities that are not taken any more; one may have come while a hook waited.

    Raises:
        Refused: With the refusal of the first hook that gives one; `unauthorized` if the identity is revoked.
        TypeError: If a hook gives something else.
    """
    for name, hook in hooks:
        verdict = await _answer(hook, opening=opening)
        if isinstance(verdict, Refusal):
            raise Refused(verdict, f"plugin {name}")
        if verdict is not None:
            raise TypeError(f"gateway_admit of plugin {name!r} gave {type(verdict).__name__}")
    if opening.identity is not None and revocations.covers(opening.identity):
        raise refuse("unauthorized", "identity is revoked")


def asked_at(frames: Iterable[FrameType]) -> Asked | None:
    """Give what has failed or waits, by the frames of the error or of the coroutine; `None` if none has."""
    for frame in frames:
        values = frame.f_locals
        if frame.f_code is authenticate.__code__ and "way" in values:
            return Asked(values["name"], True, values["way"].authenticate)
        if frame.f_code is ask_admission.__code__ and "hook" in values:
            return Asked(values["name"], False, values["hook"])
    return None


async def _answer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Give what a plugin's function says, plain or `async`; its exits are errors."""
    try:
        result = function(*args, **kwargs)
        return await as_coroutine(result) if isawaitable(result) else result
    except (SystemExit, KeyboardInterrupt) as exc:
        raise HandlerExit(exc).with_traceback(exc.__traceback__) from None
