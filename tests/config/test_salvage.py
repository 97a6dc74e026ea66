from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.salvage import salvaged_findings

TOKENS = [{"name": "a", "token": "t"}, {"name": "a", "token": "t"}]


@pytest.mark.parametrize(
    ("data", "bad", "places"),
    [
        ({"routes": [{"path": "/a"}, {"path": "/a"}]}, (), [("routes", 1, "path")]),
        ({"routes": [{"path": "/a"}, {"path": "/a"}]}, [("routes", 0, "path")], []),
        ({"routes": [{"path": "/a", "name": 1}, {"path": "/b", "name": "/a"}]}, (), []),
        ({"routes": [{"path": "/a"}, 3, {"path": "/b", "name": "/a"}]}, (), [("routes", 2, "name")]),
        (
            {"routes": [{"path": "/a", "groups": ["{x}", "{", 3]}]},
            [("routes", 0, "groups", 1)],
            [("routes", 0, "groups", 0)],
        ),
        ({"routes": [{"path": "/a", "groups": ["{x}"]}]}, [("routes", 0, "path")], []),
        (
            {"routes": [{"path": "/a", "require_subprotocol": True}]},
            (),
            [("routes", 0, "require_subprotocol")],
        ),
        ({"routes": [{"path": "/a", "require_subprotocol": True, "subprotocols": 3}]}, (), []),
        ({"routes": [{"path": "/a", "require_subprotocol": True, "subprotocols": [3]}]}, (), []),
        ({"groups": [{"pattern": "a"}, {"pattern": "a"}]}, (), [("groups", 1, "pattern")]),
        ({"api": {"tokens": TOKENS}}, (), [("api", "tokens", 1, "name")]),
        (
            {"authentication": {"token": {"keys": TOKENS}}},
            (),
            [("authentication", "token", "keys", 1, "name"), ("authentication", "token", "keys", 1, "token")],
        ),
        ({"authentication": {"token": {"keys": [{"token": ""}, {"token": ""}]}}}, (), []),
    ],
)
def test_salvaged_findings(data: Any, bad: Any, places: list[Any]) -> None:
    """What is whole is judged; what is broken is left alone."""
    assert [finding.path for finding in salvaged_findings(data, bad)] == places


keys = st.sampled_from(
    ["routes", "path", "name", "groups", "subprotocols", "require_subprotocol", "api", "tokens", "pattern"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["/a", "/{x}", "{y}", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
)


@given(values)
def test_any_data_can_be_judged(data: Any) -> None:
    """No shape of data makes the salvage fail."""
    salvaged_findings(data, ())
