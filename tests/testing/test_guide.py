"""The examples of the author's guide on testing, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import pytest

pytest_plugins = ["pytester"]

GUIDE: Final = Path(__file__).parents[2] / "plugins" / "README.md"

# What the examples test.
HANDLERS: Final = """
from gateway import BrokerUnavailableError, Handler, Options


class GreetOptions(Options):
    greeting: str = "hello"


class Greet(Handler[GreetOptions]):
    def on_message(self, connection, message):
        if isinstance(message, str):
            connection.send(f"{self.options.greeting}, {message}")


class Board(Handler):
    def on_message(self, connection, message):
        try:
            connection.publish("board", message)
            connection.publish_to_everyone(message)
        except BrokerUnavailableError:
            connection.send_json({"error": "not now"})


class Lobby(Handler):
    def on_open(self, connection):
        connection.after(900, connection.close, 4000, "too long")
"""


def test_the_examples_on_testing_run(pytester: pytest.Pytester) -> None:
    """Each example of the section is a test that passes."""
    section = GUIDE.read_text(encoding="utf-8").partition("\n## Testing\n")[2].partition("\n## ")[0]
    examples = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(examples) >= 5
    pytester.makepyfile(test_examples="\n\n".join([HANDLERS, *examples]))
    settings = (
        "asyncio_mode = auto",
        "asyncio_default_fixture_loop_scope = function",
        "filterwarnings = error",
    )
    pytester.makeini("\n".join(["[pytest]", *settings]))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=len(examples))
