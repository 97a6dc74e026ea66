"""The examples of the author's guide that are tests, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from gateway.config.load import load_config

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


def test_the_examples_of_tests_pass(pytester: pytest.Pytester) -> None:
    """Each example of the section on testing passes as it stands."""
    testing = GUIDE.read_text(encoding="utf-8").partition("\n## Testing\n")[2]
    examples = re.findall(r"```python\n(.*?)```", testing.partition("\n## ")[0], re.DOTALL)
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


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL))
def test_the_examples_of_yaml_are_good(block: str, tmp_path: Path) -> None:
    """Each example is a part of a gateway.yaml without an error, plugins and what they take left aside."""
    part = yaml.safe_load(block)
    file = tmp_path / "gateway.yaml"
    file.write_text(yaml.safe_dump({"routes": [{"path": "/it", "handlers": ["echo"]}], **part}))
    load_config(file)
