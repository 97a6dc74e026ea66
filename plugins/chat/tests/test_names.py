"""Names: given, chosen, taken, refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Enter = Callable[..., Awaitable[Any]]

REFUSED = {
    "empty": ("", "name: empty"),
    "blanks": (" \t\u3000", "name: empty"),
    "too long": ("x" * 41, "name: too long, limit 40 characters"),
    "newline": ("A\nda", "name: holds a character that cannot be seen"),
    "null": ("A\0da", "name: holds a character that cannot be seen"),
    "escape": ("A\x1b[31mda", "name: holds a character that cannot be seen"),
    "C1 control": ("A\x9bda", "name: holds a character that cannot be seen"),
    "zero-width space": ("A\u200bda", "name: holds a character that cannot be seen"),
    "other direction": ("A\u202eda", "name: holds a character that cannot be seen"),
    "line separator": ("A\u2028da", "name: holds a character that cannot be seen"),
    "number": (7, "name: not a text"),
    "list": (["Ada"], "name: not a text"),
    "nothing": (None, "name: not a text"),
}


async def test_guest_gets_a_name(enter: Enter) -> None:
    """Clients without an identity are guests, each with a name of its own."""
    names = {(await enter()).me["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"guest-[0-9a-f]{6}", name) for name in names)


async def test_identity_gives_the_name(enter: Enter) -> None:
    """An identified client has its user's name, and is the same member by whichever connection."""
    first = await enter("/known/lobby", token="token-of-ada")
    second = await enter("/known/lobby", token="token-of-ada")
    elsewhere = await enter("/known/kitchen", token="token-of-ada")
    assert first.me == second.me == elsewhere.me == {"id": "user:ada", "name": "ada"}
    assert second.welcome["members"] == [first.me]


async def test_new_name_is_that_of_all_connections(enter: Enter) -> None:
    """A user who takes another name has it on every connection to the room, and on the next one."""
    first = await enter("/known/lobby", token="token-of-ada")
    second = await enter("/known/lobby", token="token-of-ada")
    await first.ask("name", name="Ada L.")
    assert (await second.hear())["type"] == "renamed"
    third = await enter("/known/lobby", token="token-of-ada")
    assert third.me["name"] == "Ada L."
    assert (await second.ask("say", text="hello"))["from"] == third.me


async def test_user_is_made_a_name(enter: Enter) -> None:
    """A user that is no name is cut, and rid of what cannot be seen; if nothing is left, it is a guest's."""
    other = await enter("/known/kitchen", token="token-of-ada")
    await other.ask("name", name="Y" * 40)
    longer = await enter("/known/kitchen", token="token-of-long")
    long = await enter("/known/lobby", token="token-of-long")
    odd = await enter("/known/lobby", token="token-of-odd")
    unseen = await enter("/known/lobby", token="token-of-unseen")
    assert long.me["name"] == "y" * 40
    assert re.fullmatch(r"y{33}-[0-9a-f]{6}", longer.me["name"])
    assert odd.me["name"] == "Grace"
    assert unseen.me["name"].startswith("guest-")


async def test_new_name_is_told_to_all(enter: Enter) -> None:
    """A new name is told to the room, the member included, with the former one, and holds from then on."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    renamed = {"type": "renamed", "member": {"id": ada.me["id"], "name": "Ada L."}, "former": ada.me["name"]}
    assert await ada.ask("name", name="  Ada L. ") == renamed
    assert await bob.hear() == renamed
    assert (await ada.ask("say", text="hello"))["from"] == renamed["member"]


@pytest.mark.parametrize("name", ["名" * 40, "x", "O'Brien <b>", "Zoë"])
async def test_name_of_any_script_is_taken(enter: Enter, name: str) -> None:
    """A name is 1 to 40 characters of any script."""
    ada = await enter()
    assert (await ada.ask("name", name=name))["member"]["name"] == name


@pytest.mark.parametrize(("name", "message"), REFUSED.values(), ids=REFUSED.keys())
async def test_bad_name_is_refused(enter: Enter, name: object, message: str) -> None:
    """A name that is empty, too long or not to be seen is an error, and the former one stays."""
    ada = await enter()
    assert await ada.ask("name", name=name) == {"type": "error", "error": "bad_message", "message": message}
    assert (await ada.ask("who"))["members"] == [ada.me]


@pytest.mark.parametrize("name", ["Ada", "ADA", " ada ", "\uff21da"])
async def test_taken_name_is_refused(enter: Enter, name: str) -> None:
    """Another member's name is refused, also as people would mistake it; nobody else hears of it."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    await ada.ask("name", name="Ada")
    await bob.hear()
    assert await bob.ask("name", name=name) == {
        "type": "error", "error": "name_taken", "message": "another member of the room has this name",
    }  # fmt: skip
    assert await ada.has_heard_all()


async def test_taken_name_of_a_user_is_not_given_again(enter: Enter) -> None:
    """A newcomer whose user's name is taken gets another one."""
    bob = await enter("/chat/lobby")
    await bob.ask("name", name="ADA")
    ada = await enter("/known/lobby", token="token-of-ada")
    assert ada.me["name"].startswith("ada-")


async def test_own_name_can_be_written_anew(enter: Enter) -> None:
    """A member may change the case of their own name."""
    ada = await enter()
    await ada.ask("name", name="ada")
    assert (await ada.ask("name", name="Ada"))["member"]["name"] == "Ada"


async def test_name_is_free_in_another_room(enter: Enter) -> None:
    """A name is unique within its room only."""
    ada = await enter("/chat/lobby")
    other = await enter("/chat/kitchen")
    await ada.ask("name", name="Ada")
    assert (await other.ask("name", name="Ada"))["type"] == "renamed"


async def test_name_is_free_once_its_member_left(enter: Enter) -> None:
    """Whoever stays can have the name of one who left."""
    ada = await enter()
    bob = await enter()
    await bob.ask("name", name="Bob")
    await bob.socket.close()
    assert [(await ada.hear())["type"] for _ in range(3)] == ["joined", "renamed", "left"]
    assert (await ada.ask("name", name="Bob"))["type"] == "renamed"


async def test_id_of_another_is_no_name(enter: Enter) -> None:
    """Nobody can be called as another one's id."""
    ada = await enter()
    bob = await enter()
    assert (await bob.ask("name", name=ada.me["id"]))["error"] == "name_taken"


async def test_id_goes_before_a_name(enter: Enter) -> None:
    """Who took the id of a later member for a name does not hear that member's whispers."""
    eve = await enter()
    prefix, _, count = eve.me["id"].rpartition("-")
    await eve.ask("name", name=f"{prefix}-{int(count, 16) + 1:x}")
    bob = await enter()
    assert bob.me["id"] == f"{prefix}-{int(count, 16) + 1:x}"
    assert (await bob.ask("whisper", to=bob.me["id"], text="note"))["to"] == bob.me
    assert (await eve.hear())["type"] == "joined"
    assert await eve.has_heard_all()
