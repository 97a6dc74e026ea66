from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ConfigError, GatewayConfig, Overflow, Problem, load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Loaded

CASES = Path(__file__).parent / "cases"


def cases(*names: str) -> list[Any]:
    """Read files of cases: YAML, a line of dashes, and the lines of its refusal without the file's name."""
    found = []
    for name in names:
        for case in (CASES / f"{name}.txt").read_text().split("\n====\n"):
            text, _, expected = case.partition("\n----\n")
            lines = [f"gateway.yaml:{line}" for line in expected.splitlines()]
            found.append(pytest.param(text, lines, id=expected.splitlines()[0]))
    return found


FULL = """\
listen:
  host: ${HOST:-127.0.0.1}
  port: ${PORT:-8000}
  tls:
    certificate: cert.pem
    key: key.pem
log: {level: debug, format: console}
routes:
  - path: /live
    name: live
    handlers:
      - echo
      - name: live
        options: {interval: 2}
    allowed_origins: ["https://*.example.com", "*"]
    allow_missing_origin: true
    authenticate: [token]
    subprotocols: [v2, v1]
    require_subprotocol: true
    groups: ["everyone", "user:{user}"]
    message_types: [text]
    limits: &limits
      max_message_bytes: 10
      ping_interval_seconds: 0
    overflow: drop_oldest
  - path: /chat/{room}
    groups: ["room:{room}"]
    limits:
      <<: *limits
      max_message_bytes: 20
groups:
  - pattern: "room:*"
    overflow: drop_newest
broker: {type: memory}
api:
  tokens:
    - {name: ops, token: "${API_TOKEN}"}
authentication:
  token:
    keys:
      - {name: a, user: ann, token: abc, claims: {admin: true}}
plugins:
  live: {enabled: true, options: {x: [1, 2]}}
"""


def test_full_file(load: Callable[..., Loaded]) -> None:
    """Every key of the file arrives in the configuration."""
    config = load(FULL, {"API_TOKEN": "t0ken", "PORT": "9000"}).config
    assert (config.listen.host, config.listen.port) == ("127.0.0.1", 9000)
    first, second = config.routes
    assert first.name == "live"
    assert [(use.name, use.options) for use in first.handlers] == [("echo", {}), ("live", {"interval": 2})]
    assert first.overflow is Overflow.DROP_OLDEST
    assert (second.name, second.limits.max_message_bytes) == ("/chat/{room}", 20)
    assert second.limits.ping_interval_seconds == 0
    assert config.groups[0].overflow is Overflow.DROP_NEWEST
    assert config.api.active_tokens[0].token.get_secret_value() == "t0ken"
    assert config.authentication.token.keys[0].claims == {"admin": True}
    assert config.plugins["live"].options == {"x": [1, 2]}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}", "null"])
def test_empty_file_is_the_defaults(load: Callable[..., Loaded], text: str) -> None:
    """An empty file is a valid configuration."""
    assert load(text).config == GatewayConfig()


@pytest.mark.parametrize(("text", "lines"), cases("access", "broker", "listen", "routes", "others"))
def test_one_kind_of_error(refusals: Callable[..., list[str]], text: str, lines: list[str]) -> None:
    """Each kind of error has its line, column, path and words."""
    assert refusals(text) == lines


@pytest.mark.parametrize(("text", "lines"), cases("environment"))
def test_values_from_the_environment_are_not_shown(
    refusals: Callable[..., list[str]], text: str, lines: list[str]
) -> None:
    """An error about a value from the environment names the variable and never the value."""
    environ = {"X": "hush hush", "N": "424242", "E": "", "W": "7700", "HUGE": "0x" + "f" * 5000}
    found = refusals(text, environ)
    assert found == lines
    assert not any(value in line for value in ("hush", "424242", "77") for line in found)


@pytest.mark.parametrize(("text", "lines"), cases("together"))
def test_all_errors_at_once(refusals: Callable[..., list[str]], text: str, lines: list[str]) -> None:
    """Unset variables, unknown keys, types, ranges and rules between values come together, by line."""
    assert refusals(text) == lines


def test_problem_points_at_its_line(load: Callable[..., Loaded]) -> None:
    """Later checks get the place of a value, of a key, and of what is not written."""
    loaded = load("routes:\n  - path: /\n    handlers: [echo,\n      ecko]\n")
    path = ("routes", 0, "handlers", 1, "name")
    assert str(loaded.problem(path, "no such handler", "echo")) == (
        "gateway.yaml:4:7: routes[0].handlers[1].name: no such handler (did you mean 'echo'?)"
    )
    assert (
        str(loaded.problem_at_key(("routes", 0, "handlers"), "odd"))
        == "gateway.yaml:3:5: routes[0].handlers: odd"
    )
    assert (
        str(loaded.problem(("plugins", "x"), "not installed")) == "gateway.yaml:1:1: plugins.x: not installed"
    )


def test_show(load: Callable[..., Loaded]) -> None:
    """Later checks show a value that the file holds and name the variable of one that it does not."""
    loaded = load("routes: [{path: /, authenticate: [a, '${X}']}]", {"X": "hush"})
    place = ("routes", 0, "authenticate")
    shown = [loaded.show((*place, n), way) for n, way in enumerate(loaded.config.routes[0].authenticate)]
    assert shown == ["'a'", "the value of $X (a text)"]


def test_nothing_secret_in_repr(load: Callable[..., Loaded]) -> None:
    """A printed configuration shows no token and no option."""
    loaded = load(
        "api: {tokens: [{name: a, token: hush1}]}\nauthentication: {mine: {secret: hush3}}\n"
        "plugins:\n  p:\n    options: {x: '${X}'}",
        {"X": "hush2"},
    )
    assert "hush" not in repr(loaded) + repr(loaded.config) + str(loaded.config)


def test_environment_is_the_process_own_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an environment given the process's own is used, as it is at that moment."""
    file = tmp_path / "gateway.yaml"
    file.write_text("listen:\n  port: ${GATEWAY_TEST_PORT}")
    monkeypatch.setenv("GATEWAY_TEST_PORT", "1234")
    assert load_config(file).config.listen.port == 1234


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every example of a property writes anew."""
    return tmp_path_factory.mktemp("any") / "gateway.yaml"


TOP = [
    "listen:",
    "routes:",
    "api:",
    "tokens:",
    "token:",
    "plugins:",
    "limits:",
    "name:",
    "path:",
    "handlers:",
    "options:",
]
SIGNS = [
    r"-",
    r"[",
    r"]",
    r"{",
    r"}",
    r",",
    r"&",
    r"*",
    r"&a",
    r"*a",
    r"<<:",
    r"!",
    r"!!",
    r"!!int",
    r"!x",
    r"|",
    r">",
    r"'",
    r"#",
    r"---",
    r"...",
    r"?",
    r":",
    r"1",
    r"-1",
    r".inf",
    r"null",
    r"~",
    r"true",
    r"/a",
    r"{room}",
]
OTHERS = ["${A}", "${A:-1}", "$${", "${", '"', "\n", "\n  ", "\n    ", "\t", ""]
WORDS = st.sampled_from([*TOP, *SIGNS, *OTHERS, "\n"])


@given(raw=st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(deadline=None)
def test_any_bytes_are_read_or_refused(file: Path, raw: bytes) -> None:
    """No content of the file raises anything but the configuration's own error."""
    file.write_bytes(raw)
    with contextlib.suppress(ConfigError):
        load_config(file, {})


@given(words=st.lists(WORDS), environ=st.dictionaries(st.sampled_from("AB"), st.text()))
@settings(deadline=None, max_examples=300)
def test_any_yaml_is_read_or_refused(file: Path, words: list[str], environ: dict[str, str]) -> None:
    """No arrangement of YAML's own signs raises anything but the configuration's own error."""
    file.write_text(" ".join(words))
    with contextlib.suppress(ConfigError):
        load_config(file, environ)


def sections(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Make mappings and lists of the leaves under the keys of the configuration."""
    keys = st.sampled_from(
        [
            *GatewayConfig.model_fields,
            "path",
            "name",
            "handlers",
            "options",
            "tokens",
            "token",
            "keys",
            "tls",
            "pattern",
        ]
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5)
    )


@given(data=sections(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("${A}")))
@settings(deadline=None, max_examples=300)
def test_any_data_is_read_or_refused(file: Path, data: object) -> None:
    """No data under the right keys raises anything but the error, and each of its problems is one line."""
    file.write_text(yaml.safe_dump(data, allow_unicode=True))
    problems: tuple[Problem, ...] = ()
    try:
        load_config(file, {"A": "hush hush"})
    except ConfigError as error:
        problems = error.problems
    assert all(len(str(problem).splitlines()) == 1 for problem in problems)
    assert not any("hush" in str(problem) for problem in problems)
