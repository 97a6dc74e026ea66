"""Many clients in one process, which see whether everything comes."""

from __future__ import annotations

import asyncio
import gc
import pickle
import random
import sys
from collections import Counter
from typing import Any

from witness import Witness

GROUPS_OF_A_CLIENT = 2  # of either kind


async def witness(urls: list[str], count: int, halves: int, seed: int, drop_seconds: float) -> None:
    """Have so many clients, until two lines have come; then print what became of them.

    Args:
        urls: Of the gateways, which they are spread over.
        count: How many.
        halves: How many groups with history there are, and how many without.
        seed: Of who joins which group, and who is cut off.
        drop_seconds: Between one that is cut off and the next, until the first line.
    """
    source = random.Random(seed)
    witnesses = []
    for number in range(count):
        some = source.sample(range(halves), GROUPS_OF_A_CLIENT)
        kept, plain = ([f"{kind}-{one}" for one in some] for kind in ("kept", "plain"))
        enveloped = number % 2 == 0
        path = f"/{'kept' if enveloped else 'raw'}/{some[0]}/{some[1]}"
        url = urls[number % len(urls)] + path
        witnesses.append(Witness(url, kept if enveloped else [], plain, envelope=enveloped))
    tasks = []
    for one in witnesses:
        tasks.append(asyncio.create_task(one.run()))
        await asyncio.sleep(0.002)
    for one in witnesses:
        await asyncio.wait_for(one.connected.wait(), 60)
    gc.freeze()
    print("ready", flush=True)
    dropping = asyncio.create_task(_drop(witnesses, source, drop_seconds))
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    dropping.cancel()
    print("calm", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    results = [_result(one) for one in witnesses]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    sys.stdout.buffer.write(pickle.dumps(results))


async def _drop(witnesses: list[Witness], source: random.Random, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        source.choice(witnesses).drop()


def _result(one: Witness) -> dict[str, Any]:
    return {
        "url": one.url,
        "ledger": one.ledger,
        "connections": one.connections,
        "recovered": one.recovered,
        "not_recovered": one.not_recovered,
        "codes": Counter(one.codes),
        "connected": one.connected.is_set(),
    }
