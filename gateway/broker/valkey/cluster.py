"""The primaries of a Valkey Cluster, each of which keeps some of the keys."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from valkey.exceptions import ResponseError

from gateway.broker.link import LinkError
from gateway.broker.valkey.bus import Bus
from gateway.broker.valkey.ending import named
from gateway.broker.valkey.primary import MovedError
from gateway.broker.valkey.slots import SlotMap

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from gateway.broker.link import Answered, Keep, Place, Receive
    from gateway.broker.valkey.connection import Address
    from gateway.broker.valkey.ending import Ending
    from gateway.broker.valkey.primary import Primary
    from gateway.config import ValkeyBrokerConfig

__all__ = ["Cluster"]

Answer = TypeVar("Answer")


class Cluster:
    """A connection to each primary of a cluster, and the map of what each of them has.

    What a primary publishes comes to this node by the cluster's bus and the server at which the node listens.
    The keeper's probes show nothing of that way, so the link has probes of its own for each primary, and as
    often it looks at the bus.

    The map is learnt at the beginning, and anew when a server says that another one has a key. Until that is
    done, nothing is sent that concerns a key: what is refused meanwhile was sent before.

    Args:
        config: The settings.
        home: The primary at which the node listens.
        make: Makes another one, by its address and how it is named in errors.
        receive: Gets what arrives.
        ending: The end of the link.
    """

    def __init__(
        self,
        config: ValkeyBrokerConfig,
        home: Primary,
        make: Callable[[Address, str], Primary],
        receive: Receive,
        ending: Ending,
    ) -> None:
        self._config = config
        self._home = home
        self._make = make
        self._receive = receive
        self._ending = ending
        self._primaries: dict[bytes, Primary] = {}
        self._map: SlotMap | None = None
        self._known = asyncio.Event()
        self._doubted = asyncio.Event()
        self._doubter = home
        self._bus = Bus(home)
        self._numbers = count()
        self._probes: dict[bytes, asyncio.Future[None]] = {}
        self.channel = f"{config.prefix}.primaries.{secrets.token_hex(8)}"
        """Where the probes go, which no other link has; it has to be subscribed to before `open`."""
        ending.then(self._let_go)

    async def open(self) -> None:
        """Learn the map, and connect to every primary.

        Raises:
            LinkError: If the cluster is not whole, or a primary cannot be used.
        """
        self._add((await self._ask(self._home, "MYID")), self._home)
        await self._learn(self._home)
        self._known.set()
        self._ending.start(self._go_on_learning)
        self._ending.start(self._watch_bus)

    def _let_go(self) -> None:
        self._known.set()
        for answer in self._probes.values():
            answer.cancel()

    # The map.

    async def _learn(self, teller: Primary) -> None:
        await self._check_state(teller)
        found = SlotMap(await self._ask(teller, "SLOTS"), teller.address)
        added = [
            self._add(name, self._make(address, f"server {address} of the cluster"))
            for name, address in found.addresses.items()
            if name not in self._primaries
        ]
        await _together(self._open_one(primary) for primary in added)
        await self._bus.look(self._primaries)
        if self._map is not None:
            # What was sent to the former primary of a slot is answered before anything goes to the next one:
            # otherwise a primary that learns later than this node that it has lost the slot would keep that
            # behind what the next one has kept already.
            losing = self._map.losing(found)
            await _together(self._primaries[name].settle() for name in losing)
        self._map = found

    async def _check_state(self, primary: Primary) -> None:
        """See that a primary takes what concerns its keys: one that has just started does not for a while."""
        if b"cluster_state:ok" not in await self._ask(primary, "INFO"):
            raise LinkError("the cluster is down")

    async def _ask(self, teller: Primary, what: str) -> Any:
        try:
            return await teller.ask(("CLUSTER", what))
        except ResponseError as exc:
            raise LinkError(f"the server is one of a cluster, and does not tell of it: {exc}") from None

    def _add(self, name: bytes, primary: Primary) -> Primary:
        primary.moved = self._doubt
        self._primaries[name] = primary
        return primary

    async def _open_one(self, primary: Primary) -> None:
        # Half of the time that there is for all, so that the error is one of these, which name the server.
        limit = self._config.connect_timeout_seconds / 2
        try:
            try:
                async with asyncio.timeout(limit):
                    await primary.open()
                    await self._check_state(primary)
            except TimeoutError:
                raise LinkError(f"no connection in {limit:g} seconds") from None
            await self._prove(primary, limit)
        except Exception as exc:  # noqa: BLE001 - whatever the library raises, the server is named
            raise named(exc, primary.where) from None
        self._ending.start(partial(self._go_on_proving, primary), primary.where)

    def _doubt(self, doubter: Primary) -> None:
        """Take notice that a server says that another one has a key."""
        self._doubter = doubter
        self._known.clear()
        self._doubted.set()

    async def _go_on_learning(self) -> None:
        while True:
            await self._doubted.wait()
            try:
                async with asyncio.timeout(self._config.connect_timeout_seconds):
                    await self._learn(self._doubter)  # which knows it before others do
            except TimeoutError:
                raise LinkError("the cluster has changed, and not every server answers in time") from None
            self._doubted.clear()
            self._known.set()

    async def _wait_for_map(self) -> SlotMap:
        await self._known.wait()
        self._ending.check()
        assert self._map is not None  # noqa: S101 - it has been learnt
        return self._map

    # What concerns keys.

    async def keep(self, messages: Iterable[Keep], answered: Answered) -> None:
        """Have each message kept by the primary of its group; as `Link.keep`."""
        found = await self._wait_for_map()
        parts: dict[bytes, list[Keep]] = {}
        for message in messages:
            parts.setdefault(found.primary(self._home.history.key(message.channel)), []).append(message)
        # All are written before the first has to wait for room, and so before the map changes.
        await _together(self._primaries[name].keep(part, answered) for name, part in parts.items())

    async def at(self, key: str, ask: Callable[[Primary], Coroutine[None, None, Answer]]) -> Answer:
        """Ask the primary of a key something; if another one has it by now, that one."""
        found = await self._wait_for_map()
        try:
            return await ask(self._primaries[found.primary(key)])
        except MovedError:  # nothing has been done
            found = await self._wait_for_map()
            return await ask(self._primaries[found.primary(key)])

    # Probes.

    def receive(self, channel: str, data: bytes, place: Place | None = None, /) -> None:
        """Take what arrives: a probe of this link, or something to be handed over."""
        if channel != self.channel:
            self._receive(channel, data, place)
            return
        answer = self._probes.get(data)
        if answer is not None and not answer.done():
            answer.set_result(None)

    async def _go_on_proving(self, primary: Primary) -> None:
        while True:
            await asyncio.sleep(self._config.probe_interval_seconds)
            await self._prove(primary, self._config.probe_timeout_seconds)

    async def _watch_bus(self) -> None:
        while True:
            await asyncio.sleep(self._config.probe_interval_seconds)
            await self._bus.look(self._primaries)

    async def _prove(self, primary: Primary, limit: float) -> None:
        """Publish a probe through a primary, and wait until it has come by the bus."""
        probe = b"%d" % next(self._numbers)
        answer = self._probes[probe] = asyncio.get_running_loop().create_future()
        fact = "no answer to a probe"
        try:
            async with asyncio.timeout(limit):
                await primary.ask(("PUBLISH", self.channel, probe))
                fact = "what it publishes does not arrive"  # by the doing of the bus, or of the home
                await asyncio.wait({answer})
        except TimeoutError:
            raise LinkError(f"{fact} in {limit:g} seconds") from None
        finally:
            del self._probes[probe]
        self._ending.check()

    # Ending.

    async def settle(self) -> None:
        """Wait until every primary has answered everything."""
        await _together(primary.settle() for primary in self._primaries.values())

    def abort(self) -> None:
        """End every connection at once."""
        for primary in self._primaries.values():
            primary.abort()


async def _together(coroutines: Iterable[Coroutine[None, None, None]]) -> None:
    """Run coroutines side by side, and raise what the first raises; a single one runs here."""
    several = list(coroutines)
    if len(several) == 1:
        await several[0]
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            for coroutine in several:
                tasks.create_task(coroutine)
    except ExceptionGroup as exc:
        raise exc.exceptions[0] from None
