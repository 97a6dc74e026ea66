"""Tests of the judging of a configuration together with the plugins: each refusal, with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway import Authenticator, Handler, Options, hookimpl
from gateway.app.prepare import prepare
from gateway.config import ConfigError
from gateway.plugin.manager import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.app.prepare import Prepared


class Loudness(Options):
    """Options of the handler, of the plugin, and of the way."""

    decibels: int = 60


class Shout(Handler[Loudness]):
    """A handler with options."""


class Whisper(Handler):
    """A handler without."""


class Handshake(Authenticator[Loudness]):
    """A way to authenticate."""


class Shouting:
    """A plugin that is not installed."""

    @hookimpl
    def gateway_handlers(self) -> Mapping[str, type[Handler[Any]]]:
        """Name the handlers."""
        return {"shout": Shout, "whisper": Whisper}

    @hookimpl
    def gateway_authenticators(self) -> Mapping[str, type[Authenticator[Any]]]:
        """Name the way."""
        return {"handshake": Handshake}

    @hookimpl
    def gateway_options(self) -> type[Options]:
        """Give the model."""
        return Loudness


class Broken:
    """A plugin with a misspelt hook."""

    @hookimpl
    def gateway_sart(self, node: Any) -> None:
        """Never called."""


SHOUTING = Plugin("shouting", "shout-plugin", "1", Shouting())


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Prepared]:
    """A function that judges a text as `gateway.yaml`, with plugins that are not installed."""
    monkeypatch.chdir(tmp_path)

    def judge(text: str, *plugins: Plugin, **environ: str) -> Prepared:
        (tmp_path / "gateway.yaml").write_text(text, encoding="utf-8")
        return prepare("gateway.yaml", environ, plugins or (SHOUTING,))

    return judge


@pytest.fixture
def refusals(judge: Callable[..., Prepared]) -> Callable[..., list[str]]:
    """A function that judges a text which must be refused; it gives the lines of the error."""

    def refusals(text: str, *plugins: Plugin, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            judge(text, *plugins, **environ)
        return str(caught.value).splitlines()

    return refusals


class TestGood:
    """What a good configuration is made into."""

    def test_handlers_are_resolved_in_the_order_of_the_file(self, judge: Callable[..., Prepared]) -> None:
        """Each use of a handler has its class and its own validated options."""
        prepared = judge("""
routes:
  - path: /a
    handlers: [whisper, {name: shout, options: {decibels: 90}}, shout]
  - path: /b
  - {path: /c, handlers: [shout]}
""")
        found = [
            [(choice.name, choice.handler, choice.options) for choice in choices]
            for choices in prepared.handlers
        ]
        plain = ("shout", Shout, Loudness())
        assert found == [
            [("whisper", Whisper, Options()), ("shout", Shout, Loudness(decibels=90)), plain],
            [],
            [plain],
        ]

    def test_plugin_options_are_validated(self, judge: Callable[..., Prepared]) -> None:
        """Each plugin has its options, those of the file or the defaults."""
        assert judge("plugins: {shouting: {options: {decibels: 3}}}").plugin_options["shouting"] == Loudness(
            decibels=3
        )
        assert judge("").plugin_options["shouting"] == Loudness()

    def test_ways_that_a_route_names_are_resolved(self, judge: Callable[..., Prepared]) -> None:
        """A way that a route names has its class and options."""
        prepared = judge("routes: [{path: /a, authenticate: [handshake, token]}]")
        assert prepared.authenticators["handshake"] == (Handshake, Loudness())
        assert set(prepared.authenticators) == {"handshake", "token"}

    def test_a_way_of_a_plugin_takes_its_settings(self, judge: Callable[..., Prepared]) -> None:
        """Settings of a plugin's way stand beside those of the built-in ones."""
        prepared = judge("""
authentication: {handshake: {decibels: 7}}
routes: [{path: /a, authenticate: [handshake]}]
""")
        assert prepared.authenticators["handshake"] == (Handshake, Loudness(decibels=7))

    def test_a_disabled_plugin_gives_nothing(self, refusals: Callable[..., list[str]]) -> None:
        """A plugin that is switched off is not used, and its handlers are unknown."""
        text = """
plugins: {live: {enabled: false}}
routes: [{path: /a, handlers: [live]}]
"""
        assert refusals(text) == [
            "gateway.yaml:3:32: routes[0].handlers[0]: no installed plugin gives this handler: 'live'"
        ]

    def test_values_of_the_environment_reach_options(self, judge: Callable[..., Prepared]) -> None:
        """`${NAME}` is filled in before options are validated."""
        text = "plugins:\n  shouting:\n    options:\n      decibels: ${LOUD}\n"
        assert judge(text, LOUD="8").plugin_options["shouting"] == Loudness(decibels=8)


class TestNames:
    """Names in the file that nothing stands behind."""

    def test_an_unknown_handler(self, refusals: Callable[..., list[str]]) -> None:
        """A handler that no plugin gives is refused at its line, and the nearest one is offered."""
        text = """
routes:
  - path: /a
    handlers:
      - shuot
      - name: nothing-like-it
"""
        place = "routes[0].handlers"
        fact = "no installed plugin gives this handler"
        assert refusals(text) == [
            f"gateway.yaml:5:9: {place}[0]: {fact}: 'shuot' (did you mean 'shout'?)",
            f"gateway.yaml:6:15: {place}[1].name: {fact}: 'nothing-like-it'",
        ]

    def test_an_unknown_way(self, refusals: Callable[..., list[str]]) -> None:
        """A way that no plugin gives is refused at every line that names it."""
        text = """
authentication:
  tokn: {}
routes:
  - path: /a
    authenticate: [tokn]
"""
        fact = "no installed plugin gives this way to authenticate: 'tokn' (did you mean 'token'?)"
        assert refusals(text) == [
            f"gateway.yaml:3:3: authentication.tokn: {fact}",
            f"gateway.yaml:6:20: routes[0].authenticate[0]: {fact}",
        ]

    def test_an_unknown_way_to_buy_a_ticket(self, refusals: Callable[..., list[str]]) -> None:
        """The ways that buy tickets have to be there too, with the settings that they need."""
        text = """
authentication:
  ticket:
    secret: 0123456789abcdef0123456789abcdef
    authenticate: [handshak, forward]
    allowed_origins: ["http://[:::]"]
"""
        fact = "no installed plugin gives this way to authenticate: 'handshak' (did you mean 'handshake'?)"
        assert refusals(text) == [
            "gateway.yaml:3:3: authentication.forward.url: missing",
            f"gateway.yaml:5:20: authentication.ticket.authenticate[0]: {fact}",
            "gateway.yaml:6:23: authentication.ticket.allowed_origins[0]: not an origin: 'http://[:::]'",
        ]

    def test_an_unknown_way_to_open_the_api(self, refusals: Callable[..., list[str]]) -> None:
        """The ways that open the API have to be there too, with the settings that they need."""
        text = """
api:
  authenticate: [handshak, forward]
  required_claims: {role: ops}
"""
        fact = "no installed plugin gives this way to authenticate: 'handshak' (did you mean 'handshake'?)"
        assert refusals(text) == [
            "gateway.yaml:2:1: authentication.forward.url: missing",
            f"gateway.yaml:3:18: api.authenticate[0]: {fact}",
        ]

    def test_a_plugin_that_is_not_installed(self, refusals: Callable[..., list[str]]) -> None:
        """A plugin that the file names must be installed; the nearest name is offered."""
        text = """
plugins:
  shoutin: {options: {decibels: 3}}
  nothing-like-it: {}
"""
        assert refusals(text) == [
            "gateway.yaml:3:3: plugins.shoutin: plugin 'shoutin' is not installed (did you mean 'shouting'?)",
            "gateway.yaml:4:3: plugins.nothing-like-it: plugin 'nothing-like-it' is not installed",
        ]


class TestOptions:
    """Options in the file that their model refuses."""

    def test_options_beside_options(self, refusals: Callable[..., list[str]]) -> None:
        """An option that stands beside `options` gets the hint where it belongs."""
        text = """
plugins:
  shouting: {decibels: 3, loud: 4}
routes:
  - path: /a
    handlers: [{name: shout, decibels: 3}, {name: whisper, decibels: 3}, {nam: shout, decibels: 3}]
"""
        place = "routes[0].handlers"
        belongs = "unknown key (did you mean 'options.decibels'?)"
        assert refusals(text) == [
            f"gateway.yaml:3:14: plugins.shouting.decibels: {belongs}",
            "gateway.yaml:3:27: plugins.shouting.loud: unknown key",
            f"gateway.yaml:6:30: {place}[0].decibels: {belongs}",
            f"gateway.yaml:6:60: {place}[1].decibels: unknown key",
            f"gateway.yaml:6:74: {place}[2].name: missing",
            f"gateway.yaml:6:75: {place}[2].nam: unknown key (did you mean 'name'?)",
            f"gateway.yaml:6:87: {place}[2].decibels: unknown key",
        ]

    def test_settings_of_a_way_that_are_missing(self, refusals: Callable[..., list[str]]) -> None:
        """They are told beside other errors too."""
        text = "routes: [{path: /a, authenticate: [jwt], lmits: {}}, {path: /b, authenticate: [jwt]}]"
        assert refusals(text) == [
            "gateway.yaml:1:1: authentication.jwt.issuers: missing",
            "gateway.yaml:1:42: routes[0].lmits: unknown key (did you mean 'limits'?)",
        ]

    def test_what_stands_under_a_wrong_name(self, refusals: Callable[..., list[str]]) -> None:
        """It is judged by what was probably meant, so that its errors come at once; else it is left alone."""
        text = """
broker: {type: natz, prefx: a, urls: 5, user: "${UNSET}", password: hush}
authentication:
  handshak: {decibels: very}
plugins:
  shoutin: {options: {decibel: 3}}
  nothing-like-it: {options: {decibel: 3}}
routes:
  - path: /a
    handlers: [{name: shuot, options: {decibels: very}}, {name: odd, options: {decibels: very}}]
    authenticate: [handshak]
"""
        lines = [line.partition(" (")[0] for line in refusals(text)]
        no_way = "no installed plugin gives this way to authenticate: 'handshak'"
        no_handler = "no installed plugin gives this handler"
        assert lines == [
            "gateway.yaml:2:16: broker.type: no installed plugin gives this broker: 'natz'",
            "gateway.yaml:2:22: broker.prefx: unknown key",
            "gateway.yaml:2:38: broker.urls: not a list: 5",
            "gateway.yaml:2:47: broker.user: environment variable not set: UNSET",
            f"gateway.yaml:4:3: authentication.handshak: {no_way}",
            "gateway.yaml:4:24: authentication.handshak.decibels: not a whole number: 'very'",
            "gateway.yaml:6:3: plugins.shoutin: plugin 'shoutin' is not installed",
            "gateway.yaml:6:23: plugins.shoutin.options.decibel: unknown key",
            "gateway.yaml:7:3: plugins.nothing-like-it: plugin 'nothing-like-it' is not installed",
            f"gateway.yaml:10:23: routes[0].handlers[0].name: {no_handler}: 'shuot'",
            "gateway.yaml:10:50: routes[0].handlers[0].options.decibels: not a whole number: 'very'",
            f"gateway.yaml:10:65: routes[0].handlers[1].name: {no_handler}: 'odd'",
            f"gateway.yaml:11:20: routes[0].authenticate[0]: {no_way}",
        ]

    def test_options_of_a_handler(self, refusals: Callable[..., list[str]]) -> None:
        """Each error of a handler's options has its line, and a misspelt key its hint."""
        text = """
routes:
  - path: /a
    handlers:
      - name: shout
        options:
          decibels: very
          decibel: 3
      - {name: whisper, options: {decibels: 3}}
"""
        place = "routes[0].handlers"
        assert refusals(text) == [
            f"gateway.yaml:7:21: {place}[0].options.decibels: not a whole number: 'very'",
            f"gateway.yaml:8:11: {place}[0].options.decibel: unknown key (did you mean 'decibels'?)",
            f"gateway.yaml:9:35: {place}[1].options.decibels: unknown key",
        ]

    def test_options_of_a_plugin(self, refusals: Callable[..., list[str]]) -> None:
        """A plugin's options are validated by its own model, at their lines."""
        text = """
plugins:
  shouting:
    options: {decibels: very}
  echo:
    options: {loud: true}
"""
        assert refusals(text) == [
            "gateway.yaml:4:25: plugins.shouting.options.decibels: not a whole number: 'very'",
            "gateway.yaml:6:15: plugins.echo.options.loud: unknown key",
        ]

    def test_options_of_a_way(self, refusals: Callable[..., list[str]]) -> None:
        """Settings of a way that a route names are validated by the way's model."""
        text = """
authentication: {handshake: {decibels: very}}
routes: [{path: /a, authenticate: [handshake]}]
"""
        (line,) = refusals(text)
        assert line == "gateway.yaml:2:40: authentication.handshake.decibels: not a whole number: 'very'"


class TestPlugins:
    """Plugins with something wrong, which the file names or not."""

    def test_at_the_line_that_names_it(self, refusals: Callable[..., list[str]]) -> None:
        """A problem of a plugin that the file names stands at that line, with its distribution."""
        text = "\nplugins:\n  broken: {}\n"
        fact = "there is no hook gateway_sart (did you mean 'gateway_start'?)"
        assert refusals(text, Plugin("broken", "broken-plugin", "1", Broken())) == [
            f"gateway.yaml:3:3: plugins.broken: plugin 'broken' of distribution 'broken-plugin': {fact}"
        ]

    def test_where_no_line_names_it(self, refusals: Callable[..., list[str]]) -> None:
        """A problem of another plugin stands at the section of plugins, or at the file's beginning."""
        plugin = Plugin("broken", "broken-plugin", "1", Broken())
        fact = "plugin 'broken' of distribution 'broken-plugin': there is no hook gateway_sart"
        (line,) = refusals("\nplugins:\n  echo: {}\n", plugin)
        assert line.startswith(f"gateway.yaml:2:1: plugins: {fact}")
        (line,) = refusals("\nroutes: []\n", plugin)
        assert line.startswith("gateway.yaml:")
        assert f": plugins: {fact}" in line

    def test_two_plugins_of_one_name(self, refusals: Callable[..., list[str]]) -> None:
        """Two distributions with one plugin name are both told."""
        other = Plugin("shouting", "loud-plugin", "2", Shouting())
        fact = "its name is taken by distribution 'shout-plugin'"
        assert refusals("\nplugins:\n  shouting: {}\n", SHOUTING, other) == [
            f"gateway.yaml:3:3: plugins.shouting: plugin 'shouting' of distribution 'loud-plugin': {fact}"
        ]

    def test_two_plugins_with_one_handler(self, refusals: Callable[..., list[str]]) -> None:
        """A handler name that two plugins give is refused even where no route names it."""
        lines = refusals("", SHOUTING, Plugin("loud", "loud-plugin", "2", Shouting()))
        facts = [line.split("distribution 'loud-plugin': ")[1] for line in lines]
        by = "is also given by plugin 'shouting' of distribution 'shout-plugin'"
        assert facts == [
            f"handler 'shout' {by}",
            f"handler 'whisper' {by}",
            f"way to authenticate 'handshake' {by}",
        ]


class TestTogether:
    """All errors come at once."""

    def test_every_kind_of_error_in_the_order_of_the_lines(self, refusals: Callable[..., list[str]]) -> None:
        """A file with errors of its own is judged for handlers, plugins and options as well."""
        text = """
lisen: {}
routes:
  - path: /a
    handlers: [shuot, {name: shout, options: {decibels: very}}]
    overflow: never
  - path: b
listen:
  tls: {certificate: none.pem, key: none.pem}
plugins:
  shoutin: {}
"""
        lines = refusals(text)
        assert [line.split(":")[1] for line in lines if "none.pem" not in line] == sorted(
            (line.split(":")[1] for line in lines if "none.pem" not in line), key=int
        )
        for part in ("lisen", "shuot", "very", "never", "routes[1].path", "shoutin"):
            assert any(part in line for line in lines), part

    def test_a_file_that_is_no_yaml(self, refusals: Callable[..., list[str]]) -> None:
        """Where nothing can be read, that is the one error."""
        (line,) = refusals("routes: [")
        assert line.startswith("gateway.yaml:1:")

    def test_secrets_stay_out_of_the_errors(self, refusals: Callable[..., list[str]]) -> None:
        """A value of the environment is told by its name only."""
        secret = "hunter2-" + "secret"
        text = "routes: [{path: /a, handlers: ['${HANDLER}', {name: shout, options: {decibels: '${LOUD}'}}]}]"
        lines = refusals(text, HANDLER=secret, LOUD=secret)
        assert len(lines) == 2
        assert secret not in "\n".join(lines)
        assert "HANDLER" in lines[0]
        assert "LOUD" in lines[1]


def test_authorities_of_the_auth_service(tmp_path: Path) -> None:
    """A file of authorities that is missing, or holds none, is told at its line."""
    (tmp_path / "ca.pem").write_text("hush")
    for name, fact in (("none.pem", "file not found"), ("ca.pem", "file holds no certificate in pem form")):
        file = tmp_path / "gateway.yaml"
        file.write_text(f"authentication:\n  forward:\n    url: https://auth.test/\n    server_ca: {name}\n")
        with pytest.raises(ConfigError) as caught:
            prepare(file, {})
        assert str(caught.value) == f"{file}:4:16: authentication.forward.server_ca: {fact}"


@pytest.mark.parametrize("origin", ["http://[:::]", "https://[127.0.0.1]"])
def test_origin_that_cannot_match(tmp_path: Path, origin: str) -> None:
    """An origin that no browser could send is refused at its line."""
    file = tmp_path / "gateway.yaml"
    file.write_text(f'routes:\n  - path: /x\n    allowed_origins: ["{origin}"]\n')
    with pytest.raises(ConfigError, match=r":3:23: routes\[0\]\.allowed_origins\[0\]: not an origin"):
        prepare(file, {})
