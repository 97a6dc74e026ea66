"""Tests of the hub and its groups, through a served gateway: who gets what, once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway import Connection, Handler

if TYPE_CHECKING:
    from collections.abc import Callable

YAML = """
listen: {drain_seconds: 0}
authentication:
  token:
    keys:
      - {name: a, user: ada, token: ada-secret}
      - {name: b, user: bob, token: bob-secret}
routes:
  - path: /room/{room}
    handlers: [rooms]
    allow_missing_origin: true
    groups: ["everyone", "room:{room}", "user:{user}", "{room}"]
  - path: /known
    handlers: [rooms]
    allow_missing_origin: true
    authenticate: [token]
    groups: ["everyone", "user:{user}"]
"""


class Rooms(Handler):
    """A handler whose messages are orders: join, leave, publish."""

    def on_message(self, connection: Connection, message: str | bytes) -> None:
        """Do what the message says, and say that it is done."""
        order, _, rest = str(message).partition(" ")
        if order == "join":
            connection.join(rest)
        elif order == "leave":
            connection.leave(rest)
        elif order == "publish":
            connection.publish(*rest.split(" ", 1))
        elif order == "others":
            connection.publish(*rest.split(" ", 1), include_sender=False)
        elif order == "user":
            connection.publish_to_user(*rest.split(" ", 1))
        elif order == "all":
            connection.publish_to_everyone(rest)
        connection.send("done")


async def order(client: object, text: str) -> list[str | bytes]:
    """Give an order, wait until it is done, and give what came before."""
    await client.send(text)
    received = []
    while (message := await client.recv()) != "done":
        received.append(message)
    return received


async def test_route_groups_and_publishing(serve_gateway: Callable) -> None:
    """A route's groups are joined with their parameters; a publication reaches the members, each once."""
    server = await serve_gateway(YAML, handlers={"rooms": Rooms})
    async with (
        server.connect("/room/red") as red,
        server.connect("/room/red") as red2,
        server.connect("/room/blue") as blue,
    ):
        assert set(server.node.hub.groups) == {"everyone", "room:red", "room:blue", "red", "blue"}
        assert server.node.publish("room:red", "to red") == 2
        assert server.node.publish("everyone", b"to all") == 3
        assert server.node.publish("nobody", "lost") == 0
        assert [await red.recv(), await red.recv()] == ["to red", b"to all"]
        assert [await red2.recv(), await red2.recv()] == ["to red", b"to all"]
        assert await blue.recv() == b"to all"


async def test_joining_and_leaving(serve_gateway: Callable) -> None:
    """A member that joins twice gets a publication once, and none after it has left."""
    server = await serve_gateway(YAML, handlers={"rooms": Rooms})
    async with server.connect("/room/a") as one, server.connect("/room/b") as two:
        await order(one, "join g")
        await order(one, "join g")
        await order(two, "join g")
        assert await order(two, "publish g 1") == ["1"]
        assert await order(one, "leave g") == ["1"]
        assert await order(two, "publish g 2") == ["2"]
        assert await order(two, "others g 3") == []
        assert server.node.members("g") == (server.node.members("room:b"))
        server.node.publish("everyone", "end")
        assert await one.recv() == "end"
        assert await two.recv() == "end"
    assert "g" not in server.node.hub.groups or not server.node.members("g")


async def test_users(serve_gateway: Callable) -> None:
    """A publication to a user reaches all connections of that user and no other, identified or not."""
    server = await serve_gateway(YAML, handlers={"rooms": Rooms})
    ada = {"additional_headers": {"Authorization": "Bearer ada-secret"}}
    bob = {"additional_headers": {"Authorization": "Bearer bob-secret"}}
    async with (
        server.connect("/known", **ada) as ada1,
        server.connect("/known", **ada) as ada2,
        server.connect("/known", **bob) as bob1,
        server.connect("/room/x") as guest,
    ):
        assert server.node.publish_to_user("ada", "for ada") == 2
        assert server.node.publish("user:bob", "for bob") == 1
        assert server.node.publish_to_everyone("for all") == 4
        assert [await ada1.recv(), await ada1.recv()] == ["for ada", "for all"]
        assert [await ada2.recv(), await ada2.recv()] == ["for ada", "for all"]
        assert [await bob1.recv(), await bob1.recv()] == ["for bob", "for all"]
        assert await guest.recv() == "for all"


async def test_parameter_cannot_name_a_group_of_the_gateways_own(serve_gateway: Callable) -> None:
    """A path parameter that spells a reserved group does not join it."""
    server = await serve_gateway(YAML, handlers={"rooms": Rooms})
    async with server.connect("/room/$user:ada") as client:
        assert server.node.publish_to_user("ada", "secret") == 0
        (connection,) = server.node.connections()
        assert connection.groups == ("everyone", "room:$user:ada")
        await client.send("join $everyone")
        await client.wait_closed()
    assert client.close_code == 1011


async def test_nothing_is_left_of_a_connection(serve_gateway: Callable, until: Callable) -> None:
    """A connection that ends leaves its groups, and an empty group is forgotten."""
    server = await serve_gateway(YAML, handlers={"rooms": Rooms})
    async with server.connect("/room/a"):
        assert server.node.metrics.connections == 1
    await until(lambda: not server.node.connections())
    assert server.node.hub.groups == ()
    assert server.node.metrics.connections == 0
    assert server.node.publish_to_everyone("x") == 0
