"""What is said to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Enter = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("key", ["id", "name"])
async def test_whisper_reaches_one_alone(enter: Enter, key: str) -> None:
    """A whisper by id or by name reaches its receiver and its sender, and no third one."""
    ada = await enter()
    bob = await enter()
    cleo = await enter()
    for client, joined in ((ada, 2), (bob, 1)):
        for _ in range(joined):
            await client.hear()
    copy = await ada.ask("whisper", to=cleo.me[key], text="psst")
    heard = await cleo.hear()
    assert copy == heard
    assert heard.pop("at") > 0
    assert heard == {"type": "whisper", "from": ada.me, "to": cleo.me, "text": "psst"}
    assert await bob.has_heard_all()
    assert await cleo.has_heard_all()
    assert await ada.has_heard_all()


async def test_whisper_to_oneself_comes_once(enter: Enter) -> None:
    """Who whispers to themselves hears it once."""
    ada = await enter()
    assert (await ada.ask("whisper", to=ada.me["id"], text="note"))["text"] == "note"
    assert await ada.has_heard_all()


async def test_whisper_reaches_every_connection(enter: Enter) -> None:
    """A whisper to a user, and its copy, go to each of their connections in the room, and no further."""
    bob = await enter()
    one = await enter("/known/lobby", token="token-of-ada")
    two = await enter("/known/lobby", token="token-of-ada")
    elsewhere = await enter("/known/kitchen", token="token-of-ada")
    await bob.hear()
    copy = await bob.ask("whisper", to="ada", text="psst")
    assert await one.hear() == await two.hear() == copy
    answer = await one.ask("whisper", to=bob.me["id"], text="what?")
    assert await two.hear() == await bob.hear() == answer
    assert await elsewhere.has_heard_all()


async def test_whisper_finds_names_as_people_write_them(enter: Enter) -> None:
    """Case, blanks around and the width of letters make no other person of an addressee."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    await bob.ask("name", name="Bob")
    await ada.hear()
    assert (await ada.ask("whisper", to=" \uff22OB ", text="psst"))["to"] == {
        "id": bob.me["id"],
        "name": "Bob",
    }


@pytest.mark.parametrize("to", ["nobody", "room:lobby", "$everyone", "*"])
async def test_whisper_to_nobody_is_an_error(enter: Enter, to: str) -> None:
    """An addressee that is not in the room is told as an error."""
    ada = await enter()
    assert await ada.ask("whisper", to=to, text="psst") == {
        "type": "error", "error": "nobody_here", "message": "nobody in the room has this id or name",
    }  # fmt: skip


async def test_whisper_stays_in_the_room(enter: Enter) -> None:
    """A member of another room cannot be whispered to, and hears nothing."""
    ada = await enter("/chat/lobby")
    bob = await enter("/chat/kitchen")
    assert (await ada.ask("whisper", to=bob.me["id"], text="psst"))["error"] == "nobody_here"
    assert await bob.has_heard_all()


async def test_whisper_to_one_who_left_is_an_error(enter: Enter) -> None:
    """Who has left cannot be whispered to any more."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    await bob.socket.close()
    assert (await ada.hear())["type"] == "left"
    assert (await ada.ask("whisper", to=bob.me["id"], text="psst"))["error"] == "nobody_here"
