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
        ({"listen": {"tls": {"client_ca": "x"}}}, (), [("listen", "tls", "client_ca")]),
        ({"listen": {"unix": 3, "host": "a", "port": None}}, [("listen", "unix")], [("listen", "host")]),
        ({"listen": {"trusted_proxies": [3, "unix"]}}, (), [("listen", "trusted_proxies", 1)]),
        ({"listen": {"trusted_proxies": ["unix"], "unix": "a", "unix_mode": 3}}, (), []),
        ({"listen": {"tls": {"client_certificates": 1, "client_ca": "x"}}}, (), []),
        (
            {
                "listen": {
                    "tls": {"more_certificates": [{"server_names": ["a", 3]}, 1, {"server_names": ["a"]}]}
                }
            },
            (),
            [("listen", "tls", "more_certificates", 2, "server_names", 0)],
        ),
        ({"api": {"tokens": TOKENS}}, (), [("api", "tokens", 1, "name")]),
        ({"api": {"authenticate": ["jwt"]}}, (), [("api", "authenticate")]),
        ({"api": {"authenticate": ["jwt"], "required_claims": {}}}, (), [("api", "authenticate")]),
        ({"api": {"authenticate": ["jwt"], "required_claims": {"a": 1}}}, (), []),
        ({"api": {"authenticate": ["jwt"], "required_claims": 3}}, (), []),
        ({"api": {"authenticate": 3}}, (), []),
        (
            {"api": {"authenticate": [3, "cookie", "mtls"], "required_claims": {"a": 1}}},
            (),
            [("api", "authenticate", 1), ("api", "authenticate", 2)],
        ),
        (
            {"authentication": {"token": {"keys": TOKENS}}},
            (),
            [("authentication", "token", "keys", 1, "name"), ("authentication", "token", "keys", 1, "token")],
        ),
        ({"authentication": {"token": {"keys": [{"token": ""}, {"token": ""}]}}}, (), []),
        (
            {"broker": {"type": "nats", "user": "u", "token": 3, "password": "", "urls": [[]]}},
            [("broker", "token")],
            [("broker", "user"), ("broker", "token")],
        ),
        ({"broker": {"type": "nats", "tls": {"key": "k"}}}, (), [("broker", "tls", "key")]),
        ({"broker": {"type": "nats", "tls": {"key": 3, "certificate": "c"}}}, (), []),
        ({"broker": {"type": "other", "user": "u"}}, (), []),
        ({"broker": {"user": "u"}}, (), []),
        ({"broker": 3}, (), []),
        ({"broker": {"type": "nats", "user": None, "password": "p"}}, [("broker", "user")], []),
        ({"broker": {"type": "nats", "user": None, "password": "p"}}, (), [("broker", "password")]),
        ({"groups": [{"pattern": "a", "presence": []}]}, [("groups", 0, "presence")], []),
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
