"""Who comes, who goes, and what is said to a room."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway import GatewayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

    Enter = Callable[..., Awaitable[Any]]


async def test_newcomer_is_welcomed(enter: Enter) -> None:
    """The first in a room hears who they are, where, and that they are alone."""
    ada = await enter("/chat/lobby")
    assert ada.welcome == {
        "type": "welcome", "id": ada.me["id"], "name": ada.me["name"], "room": "lobby", "members": [ada.me],
    }  # fmt: skip


async def test_others_hear_who_joined(enter: Enter) -> None:
    """Those who are in the room hear of each newcomer, and the newcomer of them."""
    ada = await enter()
    bob = await enter()
    cleo = await enter()
    assert [await ada.hear(), await ada.hear()] == [
        {"type": "joined", "member": bob.me},
        {"type": "joined", "member": cleo.me},
    ]
    assert await bob.hear() == {"type": "joined", "member": cleo.me}
    assert cleo.welcome["members"] == [ada.me, bob.me, cleo.me]
    assert await cleo.has_heard_all()


async def test_message_reaches_the_room(enter: Enter) -> None:
    """What one says, everyone in the room hears once, with the sender and the time; the sender too."""
    ada = await enter()
    bob = await enter()
    cleo = await enter()
    await bob.hear()
    before = time.time()
    await cleo.tell("say", text="你好\n<b>")
    for client, skipped in ((ada, 2), (bob, 0), (cleo, 0)):
        for _ in range(skipped):
            await client.hear()
        heard = await client.hear()
        assert before - 1 <= heard.pop("at") <= time.time() + 1
        assert heard == {"type": "message", "from": cleo.me, "text": "你好\n<b>"}
        assert await client.has_heard_all()


async def test_messages_keep_their_order(enter: Enter) -> None:
    """Two members hear one sender's messages in the order in which they were said."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    for number in range(50):
        await ada.tell("say", text=str(number))
    for client in (ada, bob):
        assert [(await client.hear())["text"] for _ in range(50)] == [str(number) for number in range(50)]


async def test_another_room_hears_nothing(enter: Enter) -> None:
    """A room neither sees the members of another one nor hears what happens there."""
    ada = await enter("/chat/lobby")
    bob = await enter("/chat/kitchen")
    await ada.ask("name", name="Ada")
    await ada.ask("say", text="anyone here?")
    assert await bob.ask("who") == {"type": "who", "room": "kitchen", "members": [bob.me]}


async def test_two_routes_share_a_room(enter: Enter) -> None:
    """A room is known by its name: whoever comes over another route of the handler is in it."""
    ada = await enter("/chat/lobby")
    bob = await enter("/known/lobby", token="token-of-ada")
    assert bob.welcome["members"] == [ada.me, bob.me]
    assert (await bob.ask("say", text="hello"))["text"] == "hello"
    assert [(await ada.hear())["type"] for _ in range(2)] == ["joined", "message"]


async def test_who_tells_present_names(enter: Enter) -> None:
    """Who is here is told with the names of now, in the order of coming, and to the asker alone."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    await ada.ask("name", name="Ada")
    await bob.hear()
    assert await bob.ask("who") == {
        "type": "who", "room": "lobby", "members": [{"id": ada.me["id"], "name": "Ada"}, bob.me],
    }  # fmt: skip
    await ada.tell("say", text="next")
    assert (await ada.hear())["type"] == "message"


async def test_others_hear_who_left(enter: Enter) -> None:
    """A closing handshake ends a stay: the others hear of it, and the name of then."""
    ada = await enter()
    bob = await enter()
    cleo = await enter()
    await bob.hear()
    await cleo.ask("name", name="Cleo")
    await cleo.socket.close()
    for client, skipped in ((ada, 3), (bob, 1)):
        for _ in range(skipped):
            await client.hear()
        assert await client.hear() == {"type": "left", "member": {"id": cleo.me["id"], "name": "Cleo"}}
        assert (await client.ask("who"))["members"] == [ada.me, bob.me]


async def test_others_hear_who_was_cut(enter: Enter) -> None:
    """A socket that is cut without a closing handshake is told like any other end."""
    ada = await enter()
    bob = await enter()
    await ada.hear()
    bob.client.drop()
    assert await ada.hear() == {"type": "left", "member": bob.me}
    assert (await ada.ask("who"))["members"] == [ada.me]


async def test_others_hear_of_all_who_go_at_once(enter: Enter) -> None:
    """Several that go at the same time are told one by one, each once."""
    ada = await enter()
    going = [await enter() for _ in range(5)]
    for _ in going:
        await ada.hear()
    await asyncio.gather(*(client.socket.close() for client in going))
    left = [await ada.hear() for _ in going]
    assert {told["type"] for told in left} == {"left"}
    assert sorted(told["member"]["id"] for told in left) == sorted(client.me["id"] for client in going)
    assert await ada.has_heard_all()


async def test_brief_absence_is_not_told(enter: Enter) -> None:
    """A user who comes back within the grace was never gone, keeps their name, and is listed meanwhile."""
    bob = await enter()
    ada = await enter("/known/lobby", token="token-of-ada")
    await ada.ask("name", name="Ada L.")
    await ada.socket.close()
    assert [(await bob.hear())["type"] for _ in range(2)] == ["joined", "renamed"]
    assert len((await bob.ask("who"))["members"]) == 2
    back = await enter("/known/lobby", token="token-of-ada")
    assert back.me == {"id": "user:ada", "name": "Ada L."}
    assert await bob.has_heard_all()
    await back.socket.close()
    assert await bob.hear() == {"type": "left", "member": back.me}


async def test_second_connection_is_not_told(enter: Enter) -> None:
    """A user comes with the first connection, and goes with the last."""
    bob = await enter()
    one = await enter("/known/lobby", token="token-of-ada")
    two = await enter("/known/lobby", token="token-of-ada")
    assert (await bob.hear())["type"] == "joined"
    await one.socket.close()
    assert await two.has_heard_all()
    await two.socket.close()
    assert await bob.hear() == {"type": "left", "member": one.me}


async def test_listener_who_enters_has_come(served: Served, enter: Enter) -> None:
    """A user who only listened is told as joined when they enter."""
    async with served.client("/hark/lobby", token="token-of-ada"):
        bob = await enter()
        assert bob.welcome["members"] == [bob.me]
        ada = await enter("/known/lobby", token="token-of-ada")
        assert await bob.hear() == {"type": "joined", "member": ada.me}


async def test_who_is_in_the_group_of_another_room(enter: Enter) -> None:
    """Whose identity is in another room's group hears what is said there, and not who comes and goes."""
    grace = await enter("/known/lobby", token="token-of-grace")
    bob = await enter("/chat/kitchen")
    assert bob.welcome["members"] == [bob.me]
    assert await grace.has_heard_all()
    await bob.tell("say", text="hello")
    assert (await grace.hear())["text"] == "hello"
    assert await grace.has_heard_all()


async def test_rooms_need_presence(serve_gateway: Callable[..., Awaitable[Served]]) -> None:
    """A gateway whose YAML does not let it know who is in rooms does not start, and says what is missing."""
    with pytest.raises(GatewayError, match="presence: true"):
        await serve_gateway("routes: [{path: '/chat/{room}', handlers: [chat]}]")


async def test_listener_of_the_group_is_no_member(served: Served, enter: Enter) -> None:
    """A connection that joined the room's group by other means hears what is said, and is nobody there."""
    async with served.client("/listen/lobby") as listener:
        ada = await enter("/chat/lobby")
        assert ada.welcome["members"] == [ada.me]
        await ada.tell("say", text="hello")
        assert (await listener.receive_json())["type"] == "message"


async def test_room_is_reached_from_outside(served: Served, enter: Enter) -> None:
    """A publication to the group `room:<name>` reaches those in the room."""
    ada = await enter("/chat/lobby")
    assert served.node.publish("room:lobby", '{"type": "notice"}') == 1
    assert await ada.hear() == {"type": "notice"}


@pytest.mark.parametrize("room", ["a%20b", "%E4%BD%A0", "x" * 65, "a:b"])
async def test_room_of_a_bad_name_is_closed(enter: Enter, room: str) -> None:
    """A room name that the pattern does not fit gets an error and the close code 4404."""
    client = await enter(f"/chat/{room}")
    assert client.welcome == {
        "type": "error", "error": "bad_room", "message": "this route has no room of this name",
    }  # fmt: skip
    await client.client.expect_close(4404, "this route has no room of this name")


async def test_refused_newcomer_was_never_there(served: Served, enter: Enter) -> None:
    """Nobody hears of a client that was closed for its room's name."""
    ada = await enter("/chat/attic")
    client = await enter("/short/attic")
    assert client.welcome["error"] == "bad_room"
    await client.socket.wait_closed()
    assert await ada.has_heard_all()
    assert len(served.node.members("room:attic")) == 1
