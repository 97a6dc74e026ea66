"""Defects that the model has found, each as the steps that showed it."""

from __future__ import annotations

from typing import Any

import pytest
from connection_machine import ConnectionMachine


def message(deed: str, *, frames: int = 1, pinged: bool = False) -> tuple[Any, ...]:
    """Give a message that makes the handler do a deed."""
    return ("message", deed, False, frames, pinged)


WAIT, PLAIN, PING, CLOSE = message("wait"), message("plain"), ("ping",), ("close", 1000)
FULL = [WAIT, PLAIN, PLAIN, PLAIN]

STORIES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "publications that conflate has kept go before our close frame": [
        ("start", {"overflow": "conflate"}),
        ("peer_reads", {"what": "stop"}),
        ("publish", {"size": 3000, "key": "k", "count": 4}),
        ("drain", {}),
        ("peer_reads", {"what": "all"}),
    ],
    "a handler that sends too much and closes does not hide that messages were lost": [
        ("peer_reads", {"what": "stop"}),
        ("publish", {"size": 3000, "key": None, "count": 1}),
        ("peer_sends", {"item": message("flood-close")}),
        ("peer_reads", {"what": "all"}),
    ],
    "what a handler begins after the end never runs": [("start", {"close_deed": "wait-own"})],
    "no pong is missed while the socket is not read": [
        ("peer_sends_several", {"several": FULL}),
        ("time_passes", {"seconds": 17.4}),
        ("time_passes", {"seconds": 7.8}),
    ],
    "a peer that ends its side and does not read is cut off": [
        ("peer_reads", {"what": "stop"}),
        ("publish", {"size": 3000, "key": None, "count": 1}),
        ("peer_ends", {"how": "eof"}),
        ("time_passes", {"seconds": 3.4}),
    ],
    "a close that was heard before TCP was lost keeps its code": [
        ("peer_sends_several", {"several": [WAIT, PLAIN], "last": CLOSE}),
        ("peer_ends", {"how": "reset"}),
        ("release", {}),
    ],
    "the answer to our close is heard while a handler waits": [
        ("start", {"open_deed": "wait"}),
        ("drain", {}),
        ("peer_sends_last", {"item": CLOSE}),
    ],
    "no message that came behind too many pings is handled": [
        ("peer_sends_several", {"several": [WAIT, *[PING] * 6, PLAIN]}),
        ("release", {}),
    ],
    "a message that was kept is not handled after our close, lost or not": [
        ("peer_sends_several", {"several": [WAIT, PLAIN]}),
        ("drain", {}),
        ("peer_ends", {"how": "reset"}),
        ("release", {}),
    ],
    "a message that began while a handler waited has a deadline": [
        ("peer_sends_several", {"several": [WAIT, PLAIN], "short": 5}),
        ("release", {}),
        ("time_passes", {"seconds": 11.3}),
    ],
    "a message that began while the socket was not read has a deadline": [
        ("peer_sends_several", {"several": [*FULL, PLAIN], "short": 5}),
        ("release", {}),
        ("time_passes", {"seconds": 11.3}),
    ],
    "a message that ended is not late because its handler waits": [
        ("peer_sends", {"item": message("wait", frames=2), "cut": 3}),
        ("peer_goes_on", {"count": 40}),
        ("time_passes", {"seconds": 3.4}),
        ("release", {}),
        ("time_passes", {"seconds": 11.3}),
    ],
    "a message gets its time anew while a handler waits": [
        ("peer_sends_several", {"several": [WAIT, PLAIN], "short": 5}),
        ("time_passes", {"seconds": 11.3}),
    ],
    "a message is as old as the first byte of its header": [
        ("peer_sends", {"item": message("plain", frames=2, pinged=True), "cut": 1}),
        ("time_passes", {"seconds": 7.8}),
        ("peer_goes_on", {"count": 20}),
        ("time_passes", {"seconds": 3.4}),
    ],
    "no deadline begins after the end": [
        ("peer_sends_several", {"several": [message("raise"), PLAIN], "short": 5}),
    ],
    "the deadline of an end does not begin anew": [
        ("peer_reads", {"what": "stop"}),
        ("publish", {"size": 3000, "key": None, "count": 1}),
        ("drain", {}),
        ("time_passes", {"seconds": 1.2}),
        ("peer_sends_last", {"item": CLOSE}),
        ("time_passes", {"seconds": 1.2}),
        ("time_passes", {"seconds": 1.2}),
    ],
}
START = {
    "overflow": "disconnect",
    "open_deed": "plain",
    "close_deed": "plain",
    "half_close": True,
    "patience": 0,
}


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str) -> None:
    """After each step of a story the connection agrees with the model, and nothing is left at its end."""
    machine = ConnectionMachine()
    steps = STORIES[story]
    changes = steps[0][1] if steps[0][0] == "start" else {}
    try:
        machine.start(**{**START, **changes})
        for name, arguments in steps:
            if name != "start":
                getattr(machine, name)(**arguments)
            machine.agree()
    finally:
        machine.teardown()
