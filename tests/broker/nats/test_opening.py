"""Tests of how a connection to NATS is opened: credentials, TLS, and several servers."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from nodes import Side, until
from tcp_proxy import TcpProxy

from gateway.broker import keeper
from gateway.broker.contract import BrokerUnavailableError, Publication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats_server import NatsServer

    MakeSide = Callable[..., Awaitable[Side]]
    MakeServer = Callable[..., NatsServer]


@pytest.fixture
def connect(side: MakeSide) -> MakeSide:
    """A function that connects to a server; with a broker that is required, so that the error shows."""

    async def connect(server: NatsServer, scheme: str = "nats", **settings: Any) -> Side:
        settings.setdefault("urls", [f"{scheme}://127.0.0.1:{server.port}"])
        return await side("nats", required=True, **settings)

    return connect


async def carries(side: Side) -> bool:
    """Tell whether what one node sends to all comes back to it."""
    await side.settled()
    return bool(side.status.connected)


USER = "authorization: {user: gateway, password: secret-7}"


class TestCredentials:
    """Who the gateway says it is."""

    async def test_user_and_password(self, nats_server: MakeServer, connect: MakeSide) -> None:
        """Both are sent."""
        server = nats_server(USER)
        assert await carries(await connect(server, user="gateway", password="secret-7"))

    async def test_token(self, nats_server: MakeServer, connect: MakeSide) -> None:
        """It is sent in their place."""
        server = nats_server("authorization: {token: secret-7}")
        assert await carries(await connect(server, token="secret-7"))

    async def test_nkey(
        self, nats_server: MakeServer, connect: MakeSide, user_key: Any, tmp_path: Path
    ) -> None:
        """The server's challenge is signed with the seed of the file."""
        server = nats_server(f"authorization: {{users: [{{nkey: {user_key.public}}}]}}")
        file = tmp_path / "user.nk"
        file.write_bytes(user_key.seed + b"\n")
        assert await carries(await connect(server, nkey_file=file))

    async def test_jwt(
        self, nats_server: MakeServer, connect: MakeSide, operator: tuple[str, str], tmp_path: Path
    ) -> None:
        """The JWT of the file is shown, and the challenge signed with its seed."""
        config, credentials = operator
        file = tmp_path / "user.creds"
        file.write_text(credentials)
        assert await carries(await connect(nats_server(config), credentials_file=file))

    async def test_the_documented_rights_are_enough(self, nats_server: MakeServer, connect: MakeSide) -> None:
        """What the operator's guide lists is all that is used, by tickets too."""
        guide = (Path(__file__).parents[3] / "deploy" / "README.md").read_text(encoding="utf-8")
        (text,) = re.findall(r"Its permissions: publish to (.*?), subscribe to (.*?)\.\n", guide, re.DOTALL)
        publish, subscribe = (
            [right.replace("<prefix>", "gateway") for right in re.findall(r"`(.*?)`", part)] for part in text
        )
        rights = json.dumps({"publish": ["gateway.>", *publish], "subscribe": ["gateway.>", *subscribe]})
        config = f"authorization: {{users: [{{user: u, password: p, permissions: {rights}}}]}}"
        side = await connect(nats_server(config, jetstream=True), user="u", password="p", prefix="gateway")
        side.join("news")
        side.broker.publish(Publication("news", "x"))
        assert [await side.broker.claim("key", 60) for _ in range(2)] == [True, False]
        assert await carries(side)
        assert side.gaps == 0

    async def test_credentials_are_read_anew_for_each_connection(
        self, nats_server: MakeServer, connect: MakeSide, operator: tuple[str, str], tmp_path: Path
    ) -> None:
        """A renewed file is good for the next connection; while there is none, there is no connection."""
        config, credentials = operator
        file = tmp_path / "user.creds"
        file.write_text(credentials)
        side = await connect(nats_server(config), credentials_file=file)
        file.unlink()
        side.broker._keeper.link.abort()
        await until(lambda: bool(side.events("broker_unreachable")))
        why = side.events("broker_unreachable")[0]["why"]
        assert why == "credentials_file: cannot be read: no such file or directory"
        file.write_text(credentials)
        await until(lambda: side.gaps == 1)

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {"user": "gateway", "password": "hush"},
            {"token": "hush"},
            {"user": "hush", "password": "secret-7"},
        ],
    )
    async def test_wrong_ones_are_refused(
        self, nats_server: MakeServer, connect: MakeSide, settings: dict[str, str]
    ) -> None:
        """The error says so, and holds none of them."""
        server = nats_server(USER)
        with pytest.raises(BrokerUnavailableError, match="Authorization Violation") as caught:
            await connect(server, **settings)
        assert "hush" not in str(caught.value)

    async def test_a_credentials_file_with_something_else_in_it(
        self, nats_server: MakeServer, connect: MakeSide, tmp_path: Path
    ) -> None:
        """It is told, and not searched for ever."""
        file = tmp_path / "user.creds"
        file.write_text("hush")
        with pytest.raises(BrokerUnavailableError, match="credentials_file: no jwt and seed are in it"):
            await connect(nats_server(), credentials_file=file)


TLS = 'tls: {cert_file: "TLS/server.pem", key_file: "TLS/server.key"}'
MUTUAL = 'tls: {cert_file: "TLS/server.pem", key_file: "TLS/server.key", ca_file: "TLS/ca.pem", verify: true}'


class TestTls:
    """TLS towards the server."""

    @pytest.fixture
    def tls_server(self, nats_server: MakeServer, authority: Path) -> MakeServer:
        """A function that starts a server with TLS."""
        return lambda config: nats_server(config.replace("TLS", str(authority)))

    @pytest.mark.parametrize("scheme", ["nats", "tls"])
    async def test_the_servers_certificate_is_verified(
        self, tls_server: MakeServer, connect: MakeSide, authority: Path, scheme: str
    ) -> None:
        """It comes from the authority that is named."""
        side = await connect(tls_server(TLS), scheme, tls={"ca": authority / "ca.pem"})
        assert await carries(side)
        transport = side.broker._keeper.link._client._transport
        assert transport._io_writer.get_extra_info("ssl_object") is not None

    async def test_our_own_certificate_is_shown(
        self, tls_server: MakeServer, connect: MakeSide, authority: Path
    ) -> None:
        """To a server that wants one."""
        tls = {name: authority / file for name, file in
               (("ca", "ca.pem"), ("certificate", "client.pem"), ("key", "client.key"))}  # fmt: skip
        assert await carries(await connect(tls_server(MUTUAL), tls=tls))

    async def test_tls_may_come_first(
        self, tls_server: MakeServer, connect: MakeSide, authority: Path
    ) -> None:
        """Where the server says nothing before it."""
        server = tls_server(TLS.replace("}", ", handshake_first: true}"))
        side = await connect(server, tls={"ca": authority / "ca.pem"}, tls_first=True)
        assert await carries(side)

    @pytest.mark.parametrize(
        ("config", "settings"),
        [
            (TLS, {}),
            (TLS, {"tls": {}}),
            (TLS.replace("server", "elsewhere"), {"tls": {"ca": "ca.pem"}}),
            (MUTUAL, {"tls": {"ca": "ca.pem"}}),
            (MUTUAL, {"tls": {"ca": "ca.pem", "certificate": "other.pem", "key": "other.key"}}),
        ],
        ids=[
            "unknown",
            "of no public authority",
            "of another host",
            "none of ours",
            "of ours from elsewhere",
        ],
    )
    async def test_a_certificate_that_is_not_good_ends_it(
        self,
        tls_server: MakeServer,
        connect: MakeSide,
        authority: Path,
        config: str,
        settings: dict[str, dict[str, str]],
    ) -> None:
        """Theirs or ours: there is no connection."""
        files = {
            section: {key: authority / file for key, file in keys.items()}
            for section, keys in settings.items()
        }
        with pytest.raises(BrokerUnavailableError):
            await connect(tls_server(config), **files)

    @pytest.mark.parametrize("settings", [{"tls": {}}, {"scheme": "tls"}])
    async def test_credentials_are_never_sent_in_the_clear(
        self, nats_server: MakeServer, connect: MakeSide, settings: dict[str, Any]
    ) -> None:
        """A server without TLS, or whoever speaks in its place, gets nothing."""
        server = nats_server(USER + "\ndebug: true\ntrace: true")
        with pytest.raises(BrokerUnavailableError, match="the server does not ask for tls"):
            await connect(server, user="gateway", password="secret-7", **settings)
        server.end()
        log = server.log.read_text()
        assert "Client connection created" in log
        assert "CONNECT" not in log


CLUSTER = "cluster: {name: c, listen: '127.0.0.1:-1', routes: [ROUTES], pool_size: 1}"


async def test_nodes_at_different_servers_of_a_cluster(
    nats_server: MakeServer, side: MakeSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published at one server arrives at the other; when one dies, its nodes go to the other."""
    monkeypatch.setattr(keeper.random, "sample", lambda urls, _: list(urls))
    first = nats_server(CLUSTER.replace("ROUTES", ""))
    second = nats_server(CLUSTER.replace("ROUTES", f"'nats-route://127.0.0.1:{first.cluster_port}'"))
    one = await side("nats", "one", urls=[first.url, second.url], prefix="x")
    two = await side("nats", "two", urls=[second.url, first.url], prefix="x")
    two.join("news")
    await two.settled()

    def arrives() -> bool:
        one.broker.publish(Publication("news", "knock"))
        return not two.nothing_more

    await until(arrives)  # the servers have found each other
    first.kill()
    await until(lambda: one.gaps == 1)
    assert one.status.connected
    assert one.events("broker_connected")[-1]["server"] == second.url.removeprefix("nats://")
    # The other node learns that something may be missing; more than once if the server itself says so.
    await until(lambda: two.gaps > 0)
    assert two.status.reconnects == 0
    while not two.nothing_more:
        await two.next()
    one.broker.publish(Publication("news", "after"))
    assert (await two.next()).message == "after"


async def test_a_cut_between_the_servers_of_a_cluster(nats_server: MakeServer, side: MakeSide) -> None:
    """All links are good meanwhile; whoever has missed something is told once the servers have met again."""
    first = nats_server(CLUSTER.replace("ROUTES", ""))
    async with TcpProxy(first.cluster_port) as route:
        second = nats_server(CLUSTER.replace("ROUTES", f"'nats-route://127.0.0.1:{route.port}'"))
        one, other = [await side("nats", name, urls=[first.url], prefix="x") for name in ("one", "other")]
        two = await side("nats", "two", urls=[second.url], prefix="x")
        for node in (one, other, two):
            node.join("news")

        async def arrives(sender: Side, receiver: Side, message: str) -> None:
            def came() -> bool:
                sender.broker.publish(Publication("news", message))
                return not receiver.nothing_more

            await until(came)
            while (await receiver.next()).message != message:
                pass

        async def they_meet(message: str) -> None:
            await arrives(one, two, message)
            await arrives(two, one, message)
            for node in (one, other, two):
                await node.settled()

        await they_meet("before")
        gaps = (one.gaps, other.gaps, two.gaps)
        await asyncio.sleep(0)
        cut_at = asyncio.get_running_loop().time()
        route.swallow()
        route.break_off()
        for number in range(3):
            one.broker.publish(Publication("news", f"lost {number}"))
            for node in (one, other, two):
                await node.settled()
        assert (one.gaps, other.gaps, two.gaps) == gaps
        route.mend()
        await until(lambda: one.gaps > gaps[0] and two.gaps > gaps[2])
        assert two.status.blind_since <= cut_at
        assert [line["nodes"] for line in two.events("broker_nodes_missed")][-1] in {1, 2}
        await they_meet("after")
        assert one.status.reconnects == two.status.reconnects == 0
        assert other.gaps - gaps[1] == one.gaps - gaps[0] == 1
