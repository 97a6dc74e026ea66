from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.config import (
    ApiConfig,
    AuthenticationConfig,
    GatewayConfig,
    HandlerUse,
    ListenConfig,
    Overflow,
    RouteConfig,
    TlsConfig,
    TokenKey,
    TokenWayConfig,
)
from gateway.config import models as all_models
from gateway.config.models import RevocationConfig

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

MODELS = [
    model for name in all_models.__all__ if issubclass(model := getattr(all_models, name), BaseModel)
]  # fmt: skip
FIELDS = [
    pytest.param(name, field, id=f"{model.__name__}.{name}")
    for model in MODELS
    for name, field in model.model_fields.items()
]
# By their type as it is written: `Path`, whatever is said of it, or null.
PATHS = [one for one in FIELDS if re.search(r"\bPath\b", repr(one.values[1].annotation))]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_is_described(name: str, field: FieldInfo) -> None:
    """Each key has a description in full sentences, on which the reference rests."""
    assert field.description is not None
    assert re.match(r"[A-Z`].*\.$", field.description), field.description
    if name.endswith("_seconds"):
        assert "econds" in field.description
    if name.endswith("_bytes"):
        assert "bytes" in field.description


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_described(model: type[BaseModel]) -> None:
    """Each section has a docstring of its own."""
    assert model.__doc__ is not None
    assert model.__doc__ != BaseModel.__doc__


def test_empty_configuration_has_every_default() -> None:
    """Nothing need be written: the defaults are those of the contract with operators."""
    config = GatewayConfig()
    assert config == GatewayConfig.model_validate({})
    assert config.listen.model_dump() == {
        "host": "127.0.0.1",
        "port": 8000,
        "unix": None,
        "unix_mode": "0660",
        "workers": 1,
        "worker_start_seconds": 60,
        "worker_hang_seconds": 10,
        "backlog": 1024,
        "tls": None,
        "opening_timeout_seconds": 10,
        "max_header_bytes": 8192,
        "max_header_lines": 100,
        "max_connections": 10_000,
        "max_connections_per_address": 0,
        "max_connections_per_user": 0,
        "handshakes_per_second": 0,
        "handshake_burst": 0,
        "handshakes_per_second_per_address": 0,
        "handshake_burst_per_address": 0,
        "max_handshakes": 5000,
        "max_handshakes_per_address": 0,
        "trusted_proxies": (),
        "proxy_header": "x_forwarded_for",
        "drain_seconds": 5,
    }
    assert config.log.model_dump() == {
        "level": "info",
        "format": "json",
        "block_warning_seconds": 0.5,
        "levels": {},
    }
    assert config.routes == config.groups == ()
    assert config.broker.type == "memory"
    assert config.data_folder is None
    assert config.plugins == {}
    assert not config.api.enabled


def test_route_defaults() -> None:
    """A path alone makes a route."""
    assert RouteConfig(path="/chat/{room}").model_dump() == {
        "path": "/chat/{room}",
        "name": "/chat/{room}",
        "handlers": (),
        "allowed_origins": None,
        "allow_missing_origin": False,
        "authenticate": (),
        "credentials_from": ("header", "subprotocol"),
        "subprotocols": (),
        "require_subprotocol": False,
        "groups": (),
        "envelope": "none",
        "on_gap": None,
        "message_types": ("text", "binary"),
        "max_connections": 0,
        "limits": {
            "max_message_bytes": 65_536,
            "max_fragments": 1024,
            "message_timeout_seconds": 60,
            "send_queue_bytes": 1_048_576,
            "receive_backlog": 16,
            "handler_timeout_seconds": 30,
            "close_timeout_seconds": 5,
            "ping_interval_seconds": 20,
            "pong_timeout_seconds": 20,
            "max_pings_per_second": 50,
            "messages_per_second": 0,
            "message_burst": 0,
            "bytes_per_second": 0,
            "byte_burst": 0,
            "rate_action": all_models.RateAction.CLOSE,
        },
        "compression": None,
        "overflow": Overflow.DISCONNECT,
        "log_messages": False,
    }


def test_models_are_frozen() -> None:
    """A configuration does not change once it is read."""
    config = ListenConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.port = 1  # type: ignore[misc]


def test_handler_by_name_alone() -> None:
    """A text in `handlers` is a handler without options."""
    route = RouteConfig.model_validate({"path": "/", "handlers": ["echo", {"name": "live", "options": None}]})
    assert route.handlers == (HandlerUse(name="echo"), HandlerUse(name="live", options={}))


def test_route_parameters() -> None:
    """A route tells its path's parameters."""
    assert RouteConfig(path="/{a}/{b}").parameters == ("a", "b")


def test_section_without_lines_is_empty() -> None:
    """A section whose lines are all commented out has its defaults."""
    names = ("listen", "log", "routes", "groups", "broker", "api", "authentication", "revocation", "plugins")
    assert GatewayConfig.model_validate(dict.fromkeys(names)) == GatewayConfig()
    assert GatewayConfig.model_validate({"plugins": {"live": None}}).plugins["live"].enabled


@pytest.mark.parametrize(
    "key", ["authenticate", "handlers", "message_types", "overflow", "allow_missing_origin"]
)
def test_policy_without_value_is_refused(key: str) -> None:
    """What decides who may connect is never set by leaving its value out."""
    with pytest.raises(ValidationError):
        RouteConfig.model_validate({"path": "/", key: None})


@pytest.mark.parametrize("empty", ["", None])
def test_empty_token_is_no_token(empty: str | None) -> None:
    """An entry whose token is empty opens nothing."""
    api = ApiConfig.model_validate({"tokens": [{"name": "ops", "token": empty}]})
    assert (api.enabled, api.active_tokens) == (False, ())
    way = TokenWayConfig.model_validate(
        {"keys": [{"name": "a", "user": "u", "token": empty}, {"name": "b", "user": "u", "token": empty}]}
    )
    assert way.active_keys == ()


def test_token_opens_the_api() -> None:
    """One token that is not empty turns the API on."""
    tokens = [{"name": "off", "token": ""}, {"name": "ops", "token": "abc"}]
    api = ApiConfig.model_validate({"tokens": tokens})
    assert api.enabled
    assert [token.name for token in api.active_tokens] == ["ops"]
    assert api.active_tokens[0].token.get_secret_value() == "abc"


def test_a_way_opens_the_api() -> None:
    """A way turns the API on, too; what its identities have to prove is not shown."""
    api = ApiConfig.model_validate({"authenticate": ["jwt"], "required_claims": {"key": "hush"}})
    assert (api.enabled, api.active_tokens) == (True, ())
    assert "hush" not in repr(api)


def test_revocation_defaults() -> None:
    """Revocations are kept for a day and in memory, unless the file says more."""
    assert GatewayConfig().revocation.model_dump() == {"seconds": 86_400, "file": None}


def test_the_longest_leeway() -> None:
    """The leeway that counts is the longest of any way that has one."""
    issuer = {"issuer": "i", "audience": "a", "algorithms": ["HS256"], "keys": [{"secret": "s" * 32}]}
    signed = {"secrets": ["s" * 32], "leeway_seconds": 7}
    for data, seconds in (
        ({}, 0),
        ({"jwt": {"issuers": [issuer], "leeway_seconds": 3}}, 3),
        ({"cookie": {"name": "s", "signed": signed}}, 7),
        ({"cookie": {"name": "s", "signed": signed}, "jwt": {"issuers": [issuer]}}, 10),
        ({"cookie": {"name": "s", "jwt": {"issuers": [issuer], "leeway_seconds": 9}}}, 9),
    ):
        assert AuthenticationConfig.model_validate(data).longest_leeway_seconds == seconds


def test_nothing_secret_in_repr() -> None:
    """Tokens, claims and options, which may hold secrets, stay out of a printed configuration."""
    key = TokenKey.model_validate({"name": "n", "user": "u", "token": "hush1", "claims": {"c": "hush2"}})
    use = HandlerUse(name="live", options={"password": "hush3"})
    assert "hush" not in repr((key, use))


def test_relative_certificate_is_from_the_folder_of_the_file() -> None:
    """A relative path begins at the file that names it, an absolute one stays."""
    data = {"certificate": "c.pem", "key": "/k.pem"}
    tls = TlsConfig.model_validate(data, context={"folder": Path("/etc/gateway")})
    assert (tls.certificate, tls.key) == (Path("/etc/gateway/c.pem"), Path("/k.pem"))
    assert TlsConfig.model_validate(data).certificate == Path("c.pem")
    revocation = RevocationConfig.model_validate({"file": "r"}, context={"folder": Path("/etc/gateway")})
    assert revocation.file == Path("/etc/gateway/r")


def test_paths_are_from_the_folder_of_the_file() -> None:
    """The unix-domain socket and the data folder are found like certificates."""
    config = GatewayConfig.model_validate(
        {"listen": {"unix": "run/s"}, "data_folder": "data"}, context={"folder": Path("/etc/gateway")}
    )
    assert (config.listen.unix, config.data_folder) == (
        Path("/etc/gateway/run/s"),
        Path("/etc/gateway/data"),
    )


@pytest.mark.parametrize(("name", "field"), PATHS)
def test_every_path_is_from_the_folder_of_the_file(name: str, field: FieldInfo) -> None:
    """Wherever a key is a path, a relative one begins in the context's folder, and in none without it."""
    value: TypeAdapter[Any] = TypeAdapter(Annotated[field.annotation, field])
    for written, begun in (("a/b", "/etc/gateway/a/b"), ("/a/b", "/a/b")):
        assert value.validate_python(written, context={"folder": Path("/etc/gateway")}) == Path(begun), name
        assert value.validate_python(written) == Path(written)


@pytest.mark.parametrize(
    ("model", "data", "place"),
    [
        (ListenConfig, {"unix": "s", "port": 1}, ("port",)),
        (ListenConfig, {"trusted_proxies": ["unix"]}, ("trusted_proxies", 0)),
        (RouteConfig, {"path": "/", "groups": ["{x}"]}, ("groups", 0)),
        (RouteConfig, {"path": "/", "require_subprotocol": True}, ("require_subprotocol",)),
        (RouteConfig, {"path": "/", "subprotocols": ["a", "a"]}, ("subprotocols", 1)),
        (GatewayConfig, {"routes": [{"path": "/a/{x}"}, {"path": "/a/{y}"}]}, ("routes", 1, "path")),
        (GatewayConfig, {"groups": [{"pattern": "a"}, {"pattern": "a"}]}, ("groups", 1, "pattern")),
        (ApiConfig, {"tokens": [{"name": "a", "token": ""}] * 2}, ("tokens", 1, "name")),
        (ApiConfig, {"authenticate": ["jwt"]}, ("authenticate",)),
        (ApiConfig, {"authenticate": ["cookie"], "required_claims": {"a": 1}}, ("authenticate", 0)),
        (
            GatewayConfig,
            {"api": {"authenticate": ["mtls"], "required_claims": {"a": 1}}},
            ("api", "authenticate", 0),
        ),
        (
            TokenWayConfig,
            {"keys": [{"name": "a", "user": "u", "token": "t"}, {"name": "b", "user": "v", "token": "t"}]},
            ("keys", 1, "token"),
        ),
    ],
)
def test_rules_hold_without_a_file(model: type[BaseModel], data: Any, place: tuple[str | int, ...]) -> None:
    """A model made in code obeys the same rules, and its error names the place."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    assert [error["loc"] for error in caught.value.errors()] == [place]


def test_schema_can_be_made() -> None:
    """The JSON Schema has a description for every key, and says what workers may be."""
    schema = GatewayConfig.model_json_schema()
    assert schema["additionalProperties"] is False
    workers = schema["$defs"]["ListenConfig"]["properties"]["workers"]["oneOf"]
    assert workers == [{"type": "integer", "minimum": 1, "maximum": 256}, {"const": "auto", "type": "string"}]
    for definition in [schema, *schema["$defs"].values()]:
        for name, declared in definition.get("properties", {}).items():
            assert declared.get("description"), name
