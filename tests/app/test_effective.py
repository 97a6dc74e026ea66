from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway import Handler, Options, hookimpl
from gateway.app.differences import differences
from gateway.app.effective import HIDDEN, Leaf, Listing, Section, as_data, effective
from gateway.app.prepare import load_plugins
from gateway.config import load_config
from gateway.plugin.manager import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.app.effective import Part

SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"


class Loudness(Options):
    """Options of a handler."""

    decibels: int = 60
    words: str = ""
    api_key: str = ""


class Shout(Handler[Loudness]):
    """A handler with options."""


class Shouting:
    """A plugin."""

    @hookimpl
    def gateway_handlers(self) -> Any:
        """Name the handler."""
        return {"shout": Shout}

    @hookimpl
    def gateway_options(self) -> type[Options]:
        """Give the model."""
        return Loudness


@pytest.fixture
def whole(tmp_path: Path) -> Callable[..., Section]:
    """A function that gives the effective configuration of a text, whose file is called f."""

    def whole(text: str, **environ: str) -> Section:
        plugins = load_plugins(extra=[Plugin("shouting", "shout-plugin", "1", Shouting())])
        return effective(load_config("f", environ, text, tmp_path), plugins)

    return whole


def at(part: Part, *path: str | int) -> Any:
    """Go down to a part; give what is shown of it, and its origin."""
    for piece in path:
        part = part.parts[str(piece)] if isinstance(part, Section) else part.entries[int(piece)]  # type: ignore[union-attr]
    if isinstance(part, Leaf):
        return part.shown, part.origin
    return ([at(one) for one in part.entries] if isinstance(part, Listing) else ..., part.origin)


def test_origins(whole: Callable[..., Section]) -> None:
    """A value comes from its line, from the environment, or from nowhere but the default."""
    found = whole(
        "listen:\n  port: ${PORT}\n  host: ${HOST:-0.0.0.0}\n"
        "routes:\n  - path: /a\n    groups: [x, '${G}']\n",
        PORT="9000",
        G="y",
    )
    assert at(found, "listen", "port") == (9000, "environment PORT")
    assert at(found, "listen", "host") == ("0.0.0.0", "f:3")
    assert at(found, "listen", "backlog") == (1024, "default")
    assert at(found, "routes", 0, "path") == ("/a", "f:5")
    assert at(found, "routes", 0, "name") == ("/a", "default")
    assert at(found, "routes", 0, "groups") == ([("x", "f:6"), ("${G}", "environment G")], "f:6")
    assert at(found, "routes", 0, "overflow") == ("disconnect", "default")


def test_short_forms(whole: Callable[..., Section]) -> None:
    """A handler's name alone is where its name comes from; its options are defaults."""
    found = whole("routes:\n  - path: /a\n    handlers:\n      - shout\n")
    assert at(found, "routes", 0, "handlers", 0, "name") == ("shout", "f:4")


def test_options_of_plugins(whole: Callable[..., Section]) -> None:
    """Options are shown with the defaults of their model, of plugins that the file does not name too."""
    found = whole("routes:\n  - path: /a\n    handlers: [{name: shout, options: {words: loud}}]\n")
    options = ("routes", 0, "handlers", 0, "options")
    assert at(found, *options, "words") == ("loud", "f:3")
    assert at(found, *options, "decibels") == (60, "default")
    assert at(found, "plugins", "shouting", "options", "decibels") == (60, "default")
    assert at(found, "plugins", "live", "enabled") == (True, "default")


def test_secrets(whole: Callable[..., Section]) -> None:
    """No secret is shown: by its type, by its key's name, or since it may be one in a plugin's options."""
    found = whole(
        "api: {tokens: [{name: a, token: '${S}'}, {name: b, token: ''}]}\n"
        "resume: {key: '${S}'}\n"
        "routes:\n  - path: /a\n    handlers: [{name: shout, options: {words: '${S}', api_key: plain}}]\n"
        "authentication: {other: {password: plain, level: 3}}\n",
        S=SECRET,
    )
    assert at(found, "api", "tokens", 0, "token") == (HIDDEN, "environment S")
    assert at(found, "api", "tokens", 1, "token") == ("", "f:1")
    assert at(found, "resume", "key") == (HIDDEN, "environment S")
    options = ("routes", 0, "handlers", 0, "options")
    assert at(found, *options, "words") == ("${S}", "environment S")
    assert at(found, *options, "api_key") == (HIDDEN, "f:5")
    assert at(found, "authentication", "other", "password") == (HIDDEN, "f:6")
    assert at(found, "authentication", "other", "level") == (3, "f:6")
    assert SECRET not in repr(found)


PRIVATE = "env-value-very-private"


def test_what_comes_from_a_variable(whole: Callable[..., Section]) -> None:
    """A text shows its variables in place of their values, wherever it goes; numbers and choices show."""
    found = whole(
        "data_folder: /data/${A}\n"
        "log: {level: '${LEVEL}'}\n"
        "listen:\n  port: ${PORT}\n"
        "routes:\n  - path: /${A}/${B}\n    handlers: ['${SHOUT}']\n    groups: ['x', '${A}']\n"
        "authentication: {forward: {url: 'https://auth.example/${A}?k=${B}'}}\n",
        A=PRIVATE,
        B=f"{PRIVATE}-2",
        LEVEL="debug",
        PORT="9000",
        SHOUT="shout",
    )
    assert at(found, "data_folder") == ("${A}", "environment A")
    assert at(found, "log", "level") == ("debug", "environment LEVEL")
    assert at(found, "listen", "port") == (9000, "environment PORT")
    assert at(found, "routes", 0, "path") == ("${A}${B}", "environment A, B")
    assert at(found, "routes", 0, "name") == ("${A}${B}", "default")
    assert at(found, "routes", 0, "handlers", 0, "name") == ("${SHOUT}", "environment SHOUT")
    assert at(found, "authentication", "forward", "url") == ("${A}${B}", "environment A, B")
    assert PRIVATE not in json.dumps(as_data(found))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://auth.example/check", "https://auth.example/check"),
        ("https://auth.example/check?key=hunter2", "https://auth.example/check?********"),
        ("https://ada:hunter2@auth.example/check", "https://********@auth.example/check"),
        ("https://ada:hunt@er2@auth.example/?a=b@c#d", "https://********@auth.example/?********"),
        ("https://auth.example/@ada", "https://auth.example/@ada"),
    ],
)
def test_what_may_be_secret_in_a_url(whole: Callable[..., Section], url: str, shown: str) -> None:
    """User, password and query of a URL are hidden, and a change of them tells none."""
    words = "routes: [{{path: /a, handlers: [{{name: shout, options: {{words: '{}'}}}}]}}]\n"
    found = whole(words.format(url))
    assert at(found, "routes", 0, "handlers", 0, "options", "words")[0] == shown
    told = differences(found, whole(words.format(url.replace("hunter2", "hunter3"))))
    if "hunter2" in url:
        assert told == ["route '/a': handler 'shout': options.words is changed"]


def test_a_change_by_a_variable(whole: Callable[..., Section]) -> None:
    """A change to, from or of what a variable says shows no value, not of the names of things either."""
    route = "routes: [{{path: '{}', groups: ['{}']}}]\ngroups: [{{pattern: '{}'}}]\n"
    variables = {"A": PRIVATE, "B": f"/{PRIVATE}"}
    old = whole(route.format("/x", "one", "one"), **variables)
    new = whole(route.format("/x", "${A}", "one"), **variables)
    assert differences(old, new) == ["route '/x': groups is changed"]
    assert differences(new, old) == ["route '/x': groups is changed"]
    added = differences(old, whole(route.format("${B}", "one", "${A}"), **variables))
    assert [PRIVATE in line for line in added] == [False] * 4
    assert added[0].startswith("route '${B}' is added")


OLD = """
listen: {port: 8000}
routes:
  - {path: /a, name: one, handlers: [shout], groups: [x]}
  - {path: /gone}
  - {path: /b, name: two, handlers: [{name: shout, options: {decibels: 2}}], limits: {max_fragments: 5}}
groups: [{pattern: "r:*"}]
api: {tokens: [{name: ops, token: first}]}
authentication: {jwt: {issuers: [{issuer: i, audience: a, algorithms: [RS256], keys: [{file: a.pem}]}]}}
"""


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("", ""), []),
        (("port: 8000", "port: 9000"), ["listen.port changes from 8000 to 9000"]),
        (("listen: {port: 8000}", ""), []),
        (("decibels: 2", "decibels: 2.0"), []),
        (
            ("decibels: 2", "decibels: 3"),
            ["route 'two': handler 'shout': options.decibels changes from 2 to 3"],
        ),
        (("max_fragments: 5", ""), ["route 'two': limits.max_fragments changes from 5 to 1024"]),
        (("  - {path: /gone}\n", ""), ["route '/gone' is removed"]),
        (
            ("  - {path: /gone}\n", "  - {path: /new, handlers: [shout]}\n"),
            ["route '/new' is added: path '/new', handlers 'shout'", "route '/gone' is removed"],
        ),
        (("path: /a", "path: /c"), ["route 'one': path changes from '/a' to '/c'"]),
        (("handlers: [shout], ", ""), ["route 'one': handler 'shout' is removed"]),
        (
            ("handlers: [shout], ", "handlers: [shout, shout], "),
            ["route 'one': handler 'shout' (2) is added: name 'shout'"],
        ),
        (("groups: [x]", "groups: []"), ["route 'one': groups changes from 'x' to none"]),
        (
            ('{pattern: "r:*"}', '{pattern: "a"}, {pattern: "r:*", overflow: conflate}'),
            [
                "policy of groups 'a' is added: pattern 'a'",
                "policy of groups 'r:*': overflow changes from null to 'conflate'",
            ],
        ),
        (("token: first", "token: second"), ["token of the api 'ops': token is changed"]),
        (("[RS256]", "[ES256]"), ["issuer 'i': algorithms changes from 'RS256' to 'ES256'"]),
        (("file: a.pem", "public_key: xyz"), None),
    ],
)
def test_differences(whole: Callable[..., Section], change: tuple[str, str], told: list[str] | None) -> None:
    """Each change is a line in words; entries of lists are known by their names; secrets are not shown."""
    new = OLD.replace(*change) if change[0] else OLD
    lines = differences(whole(OLD), whole(new))
    assert not any("first" in line or "second" in line for line in lines)
    if told is None:
        assert lines
    else:
        assert lines == told


def test_sections_that_come_and_go(whole: Callable[..., Section]) -> None:
    """What was null, or of another kind, is told with what is set in it."""
    tls = "listen: {tls: {certificate: a.pem, key: a.key}}"
    (line,) = differences(whole(""), whole(tls))
    assert line.startswith("listen.tls is added: certificate '")
    assert differences(whole(tls), whole("")) == ["listen.tls changes to null"]
    lines = differences(whole(""), whole("broker: {type: nats, token: hush, prefix: mine}"))
    assert lines == [
        "broker.type changes from 'memory' to 'nats'",
        "broker.prefix is added: 'mine'",
        "broker.token is changed",
    ]


def test_a_new_order(whole: Callable[..., Section]) -> None:
    """An order that changes is told, since the first policy that fits holds."""
    one, other = "{pattern: 'a*'}", "{pattern: '*b'}"
    (line,) = differences(whole(f"groups: [{one}, {other}]"), whole(f"groups: [{other}, {one}]"))
    assert line == "groups change their order: '*b', 'a*'"
