from __future__ import annotations

import os

import pytest
from connection_machine import ConnectionMachine
from hypothesis import HealthCheck, Phase, settings

EXAMPLES = os.environ.get("GATEWAY_FUZZ_EXAMPLES")


@pytest.mark.timeout(600)  # only a failure takes that long: it is shrunk
class TestConnection(ConnectionMachine.TestCase):
    """Whatever happens to a connection, in any order, it does what the model does."""

    settings = settings(
        max_examples=int(EXAMPLES or 150),
        stateful_step_count=40,
        derandomize=EXAMPLES is None,
        deadline=None,
        phases=(Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
