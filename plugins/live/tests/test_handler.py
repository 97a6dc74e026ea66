"""The handler over real connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Client, Served, TestClock

    Serve = Callable[..., Awaitable[Served]]
    Check = Callable[..., Awaitable[None]]

# Samples far apart, so that nothing stands between an answer and its question.
QUIET = "interval_seconds: 3600"


def routes(options: str) -> str:
    """Write a configuration with one route and these options."""
    return f"""
routes:
  - path: /live
    handlers: [{{name: live, options: {{{options}}}}}]
    allow_missing_origin: true
"""


async def ask(client: Client, **message: object) -> Any:
    """Send one message and receive one."""
    return await client.ask_json(message)


async def test_snapshot_comes_first(serve_gateway: Serve) -> None:
    """A connection learns at once who it is, what it may do, and how things stand."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        snapshot = await client.receive_json()
        (connection,) = served.node.connections()
        assert snapshot["type"] == "snapshot"
        assert snapshot["connection"] == connection.id
        assert snapshot["interval_seconds"] == 3600
        assert snapshot["allow_push"] is False
        assert len(snapshot["rows"]) == 1
        assert len(snapshot["rows"][0]) == len(snapshot["fields"])


async def test_figures_follow(serve_gateway: Serve, gateway_clock: TestClock) -> None:
    """Each sample is pushed, in order, and the snapshot of a later connection holds the recent ones."""
    served = await serve_gateway(routes("interval_seconds: 60, history_samples: 2"))
    async with served.client("/live") as client:
        await client.receive()
        await gateway_clock.turn(59)
        await client.expect_nothing()
        await gateway_clock.turn(61)
        first, second = await client.receive_json(), await client.receive_json()
        assert first["type"] == second["type"] == "figures"
        assert second["number"] == first["number"] + 1
        assert second["time"] > first["time"]
        assert second["connections"] == 1
        async with served.client("/live") as other:
            snapshot = await other.receive_json()
            numbers = [dict(zip(snapshot["fields"], row, strict=True))["number"] for row in snapshot["rows"]]
            assert numbers[-1] >= second["number"]
            assert len(numbers) == 2


async def test_messages_a_second_are_counted(serve_gateway: Serve) -> None:
    """What clients send and get shows in the figures."""
    served = await serve_gateway(routes("interval_seconds: 0.1"))
    async with served.client("/live") as client:
        await client.receive()
        for number in range(20):
            await client.send_json({"type": "hello", "consumer": f"c{number}"})
        rates = {"in": 0.0, "out": 0.0}
        while min(rates.values()) == 0.0:
            figures = await client.receive_json()
            if figures["type"] == "figures":
                rates["in"] += figures["messages_in_per_second"]
                rates["out"] += figures["messages_out_per_second"]


async def test_two_routes_share_the_samples(serve_gateway: Serve, gateway_clock: TestClock) -> None:
    """A process samples once: clients of both routes get the same sample, and each gets it once."""
    served = await serve_gateway(
        """
routes:
  - path: /a
    handlers: [{name: live, options: {interval_seconds: 0.1}}]
    allow_missing_origin: true
  - path: /b
    handlers: [{name: live, options: {interval_seconds: 3600}}]
    allow_missing_origin: true
"""
    )
    async with served.client("/a") as one, served.client("/b") as other:
        assert (
            (await one.receive_json())["interval_seconds"]
            == (await other.receive_json())["interval_seconds"]
            == 0.1
        )
        await gateway_clock.turn(0.35)
        got = [(await other.receive_json())["number"] for _ in range(3)]
        assert len(set(got)) == 3
        assert [(await one.receive_json())["number"] for _ in range(3)] == got
        await one.expect_nothing()
        await other.expect_nothing()


async def test_hello_is_answered(serve_gateway: Serve) -> None:
    """A consumer is told that it is known, with the gateway's time and its own number."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        snapshot = await client.receive_json()
        answer = await ask(client, type="hello", consumer="tab-1", at=12.5)
        assert answer.pop("now") == pytest.approx(served.node.now(), abs=60)
        assert answer == {
            "type": "hello",
            "consumer": "tab-1",
            "connection": snapshot["connection"],
            "at": 12.5,
        }


async def test_consumer_is_reached_alone(serve_gateway: Serve) -> None:
    """What is published to a consumer's group comes to it, and to no one else."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as one, served.client("/live") as other:
        await one.receive_json()
        await other.receive_json()
        await ask(one, type="hello", consumer="one")
        await ask(other, type="hello", consumer="other")
        assert served.node.publish("consumer:one", "for one") == 1
        assert await one.receive() == "for one"
        # Answers come in order, so a push that went astray would come before this one.
        assert (await ask(other, type="hello", consumer="other"))["type"] == "hello"


async def test_later_hello_replaces_the_consumer(serve_gateway: Serve) -> None:
    """A connection is one consumer at a time."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        await client.receive_json()
        await ask(client, type="hello", consumer="before")
        await ask(client, type="hello", consumer="after")
        (connection,) = served.node.connections()
        assert [name for name in connection.groups if name.startswith("consumer:")] == ["consumer:after"]


async def test_push_to_all_reaches_all(serve_gateway: Serve) -> None:
    """A push to everyone comes to every client, the sender too, and the sender learns to how many."""
    served = await serve_gateway(routes(QUIET + ", allow_push: true"))
    async with served.client("/live") as one, served.client("/live") as other:
        assert (await one.receive_json())["allow_push"] is True
        await other.receive_json()
        await ask(one, type="hello", consumer="one")
        pushed = {"type": "push", "from": "one", "to": "everyone", "text": "你好"}
        await one.send_json({"type": "push", "to": "everyone", "text": "你好"})
        assert sorted(
            [await one.receive_json(), await one.receive_json()], key=lambda message: message["type"]
        ) == [
            pushed,
            {"type": "pushed", "to": "everyone", "receivers": 2},
        ]
        assert await other.receive_json() == pushed


async def test_push_to_one_reaches_one(serve_gateway: Serve) -> None:
    """A push to a consumer comes to it alone; a client that never said hello is no one."""
    served = await serve_gateway(routes(QUIET + ", allow_push: true"))
    async with served.client("/live") as one, served.client("/live") as other:
        await one.receive_json()
        await other.receive_json()
        await ask(other, type="hello", consumer="other")
        answer = await ask(one, type="push", to="other", text="psst")
        assert answer == {"type": "pushed", "to": "other", "receivers": 1}
        assert await other.receive_json() == {"type": "push", "from": None, "to": "other", "text": "psst"}


async def test_push_to_nobody_reaches_none(serve_gateway: Serve) -> None:
    """An unknown consumer is no error: it may be on another node, or come back."""
    served = await serve_gateway(routes(QUIET + ", allow_push: true"))
    async with served.client("/live") as client:
        await client.receive_json()
        answer = await ask(client, type="push", to="nobody", text="psst")
        assert answer == {"type": "pushed", "to": "nobody", "receivers": 0}


@pytest.mark.parametrize("to", ["everyone", "other"])
async def test_push_is_refused_where_it_is_off(serve_gateway: Serve, to: str) -> None:
    """Unless the route allows it, a client reaches nobody."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        await client.receive_json()
        answer = await ask(client, type="push", to=to, text="x")
        assert answer == {"type": "error", "error": "pushing is off on this route"}


async def test_text_is_bounded_in_bytes(serve_gateway: Serve) -> None:
    """The exact limit passes, one byte more does not; a Chinese character is three bytes."""
    served = await serve_gateway(routes(QUIET + ", allow_push: true, max_text_bytes: 6"))
    async with served.client("/live") as client:
        await client.receive_json()
        assert (await ask(client, type="push", to="nobody", text="你好"))["type"] == "pushed"
        answer = await ask(client, type="push", to="nobody", text="你好!")
        assert answer == {"type": "error", "error": "text too long: 7 bytes, limit 6"}


async def test_nobody_is_called_everyone(serve_gateway: Serve) -> None:
    """The name of all is no consumer id."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        await client.receive_json()
        assert (await ask(client, type="hello", consumer="everyone"))["type"] == "error"


async def test_junk_is_answered_and_survived(serve_gateway: Serve) -> None:
    """Each bad message gets an error, the connection goes on, and no handler has raised."""
    served = await serve_gateway(routes(QUIET))
    async with served.client("/live") as client:
        await client.receive_json()
        for junk in ("", "{", "[]", '{"type": "launch"}', "[" * 50_000, b"\x00\xff", '{"type": "push"}'):
            await client.send(junk)
            assert (await client.receive_json())["type"] == "error"
        assert (await ask(client, type="hello", consumer="a"))["type"] == "hello"
    assert served.errors == []


async def test_nasty_conversations(check_handler: Check) -> None:
    """No client makes the handler fail, or harms another."""
    messages = ['{"type": "hello", "consumer": "a"}', '{"type": "push", "to": "everyone", "text": "x"}']
    await check_handler(routes("allow_push: true"), messages=messages)


async def test_message_goes_no_further(serve_gateway: Serve) -> None:
    """A handler behind this one on the route does not see what this one has answered."""
    served = await serve_gateway(
        """
routes:
  - path: /live
    handlers:
      - {name: live, options: {interval_seconds: 3600}}
      - {name: live, options: {interval_seconds: 3600}}
    allow_missing_origin: true
"""
    )
    async with served.client("/live") as client:
        await client.receive_json()
        await client.receive_json()
        await ask(client, type="hello", consumer="a")
        assert (await ask(client, type="hello", consumer="b"))["consumer"] == "b"
