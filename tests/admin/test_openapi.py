"""Tests of the OpenAPI document against a real gateway: whatever it allows is answered as it says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import hypothesis
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from gateway.admin.answers import SessionAnswer
from gateway.admin.api import _READINGS
from gateway.admin.openapi import describe
from gateway.config.models.access import SCOPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.testing import Served

DOCUMENT = describe(_READINGS, SessionAnswer)
OPERATIONS = [(path, method.upper()) for path, methods in DOCUMENT["paths"].items() for method in methods]

YAML = """
admin: {port: 0}
api: {tokens: [{name: ops, token: ops-1}], max_body_bytes: 100000}
listen: {max_header_bytes: 100000}
groups:
  - {pattern: "kept*", history: {size: 5}}
  - {pattern: "here*", presence: true}
routes:
  - {path: "/in/{room}", allow_missing_origin: true, groups: ["{room}", "kept", "here"], handlers: [echo]}
"""

CHECKS = (
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
)


@pytest.fixture
async def server(serve_gateway: Callable[..., Awaitable[Served]]) -> Served:
    """A gateway with an API."""
    return await serve_gateway(YAML)


async def test_the_document(server: Served) -> None:
    """It is served as it is made, is good OpenAPI, and names every scope and no credential."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer ops-1"}, trust_env=False) as client:
        answer = await client.get(server.admin_url("/api/openapi.json"))
    assert answer.json() == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for scope in set(SCOPES) - {"metrics"}:
        assert f"`{scope}`" in answer.text
    served = {
        (f"/{route.path}", method)
        for route in server.gateway._admin.app.router.routes
        for method in route.methods
    }
    assert {one for one in served if one[0].startswith("/api/")} == {
        *OPERATIONS,
        ("/api/openapi.json", "GET"),
    }


# The server runs in another thread, where it may use that module.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_it_holds(server: Served, path: str, method: str) -> None:
    """Good requests are taken, bad ones are refused, and each answer has the form that is promised."""
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operation = schema[path][method]
    base = server.admin_url("")
    good = operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE)
    bad = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    fields = {"Authorization": "Bearer ops-1"}

    def run(strategy: Any, *more: Any) -> None:
        @hypothesis.given(case=strategy)
        @hypothesis.settings(
            max_examples=10,
            database=None,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def judge(case: Any) -> None:
            case.call_and_validate(base_url=base, headers=fields, checks=[*CHECKS, *more])

        judge()

    async with server.connect("/in/kept1"):
        # What a body may not have beside each other is in no schema.
        await asyncio.to_thread(run, good, *([positive_data_acceptance] if method == "GET" else []))
        if method == "POST" or DOCUMENT["paths"][path][method.lower()].get("parameters"):
            await asyncio.to_thread(run, bad, negative_data_rejection)
    assert server.errors == []
