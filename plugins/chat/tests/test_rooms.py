"""Who comes, who goes, and what is said to a room."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed

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
    bob.socket.transport.abort()
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


async def test_listener_of_the_group_is_no_member(served: Served, enter: Enter) -> None:
    """A connection that joined the room's group by other means hears the room, and is nobody there."""
    async with served.connect("/listen/lobby") as listener:
        ada = await enter("/chat/lobby")
        assert ada.welcome["members"] == [ada.me]
        await ada.tell("say", text="hello")
        assert '"joined"' in await listener.recv()
        assert '"message"' in await listener.recv()


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
    with pytest.raises(ConnectionClosed) as closed:
        await client.hear()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4404, "this route has no room of this name")


async def test_refused_newcomer_was_never_there(served: Served, enter: Enter) -> None:
    """Nobody hears of a client that was closed for its room's name."""
    ada = await enter("/chat/attic")
    client = await enter("/short/attic")
    assert client.welcome["error"] == "bad_room"
    await client.socket.wait_closed()
    assert await ada.has_heard_all()
    assert len(served.node.members("room:attic")) == 1
