"""The options, as gateway.yaml gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Enter = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    ("path", "limit"), [("/chat/lobby", 2000), ("/short/lobby", 5)], ids=["default", "set"]
)
async def test_text_is_bounded(enter: Enter, path: str, limit: int) -> None:
    """A text of just the limit is said; one more character is an error, said or whispered."""
    ada = await enter(path)
    assert (await ada.ask("say", text="字" * limit))["text"] == "字" * limit
    too_long = {
        "type": "error", "error": "text_too_long",
        "message": f"text too long: {limit + 1} characters, limit {limit}",
    }  # fmt: skip
    assert await ada.ask("say", text="x" * (limit + 1)) == too_long
    assert await ada.ask("whisper", to=ada.me["id"], text="x" * (limit + 1)) == too_long


@pytest.mark.parametrize(
    ("room", "told"), [("lobby", "welcome"), ("help", "welcome"), ("helper", "error"), ("kitchen", "error")]
)
async def test_pattern_bounds_the_rooms(enter: Enter, room: str, told: str) -> None:
    """Only a room whose whole name fits the pattern can be entered."""
    assert (await enter(f"/short/{room}")).welcome["type"] == told


@pytest.mark.parametrize(
    "options",
    [
        "max_text_characters: 0",
        "max_text_characters: 65537",
        "max_text_characters: many",
        'room_pattern: "("',
        "max_text_character: 5",
    ],
)
async def test_bad_option_is_refused(serve_gateway: Callable[..., Awaitable[Served]], options: str) -> None:
    """A value out of range, a pattern that is none, and a misspelt key refuse to start and name the key."""
    with pytest.raises(GatewayError, match=options.partition(":")[0]):
        await serve_gateway(
            f"routes: [{{path: '/chat/{{room}}', handlers: [{{name: chat, options: {{{options}}}}}]}}]"
        )


async def test_route_needs_the_parameter(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """A route without `{room}` is refused before anyone connects."""
    with pytest.raises(GatewayError, match=r":1:\d+: .*needs the parameter \{room\}"):
        await serve_gateway("routes: [{path: /chat, handlers: [chat]}]")
