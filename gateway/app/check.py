"""All that `gateway check` judges: the file, the plugins, what both name, and what is there around them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from gateway.app.addresses import check_address
from gateway.app.collisions import check_collisions
from gateway.app.places import check_places
from gateway.app.prepare import judge
from gateway.auth.check import check_services
from gateway.broker.check import check_broker
from gateway.config import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from gateway.app.prepare import Prepared
    from gateway.config import Loaded, Problem

__all__ = ["check_everything"]


def check_everything(
    path: str | FilePath,
    environ: Mapping[str, str] = os.environ,
    *,
    text: str | None = None,
    address: bool = True,
    online: bool = False,
) -> tuple[tuple[Problem, ...], Prepared | None]:
    """Judge a configuration as a start would, and more. No event loop may run in this thread.

    Args:
        path: The file.
        environ: Where `${NAME}` finds its values.
        text: What the file says, where it has been read already.
        address: Whether to look if the address of `listen` is free. Default: yes.
        online: Whether to ask the broker and other services that the file names. Default: no.

    Returns:
        Every problem in the order of their lines, warnings too, and what a start needs, if the file, the
        plugins and the files that are named are good.
    """
    judged = judge(path, environ, text=text)
    problems = [*judged.problems, *check_collisions(judged)]
    if judged.good is not None:
        problems += check_places(judged.good, environ)
        if address:
            problems += check_address(judged.good, environ)
        if online:
            problems += asyncio.run(_ask(judged.good))
    return in_order(problems), judged.prepared


async def _ask(good: Loaded) -> list[Problem]:
    return [*await check_broker(good), *await check_services(good)]
