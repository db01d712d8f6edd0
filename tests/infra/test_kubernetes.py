"""Every overlay, rendered by kubectl, against Kubernetes' schemas and against the server."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from engine.bundles import ensure_bundle
from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings
from functions.settings_sources import load_settings
from infra.monitoring.prometheus_rule import OUTPUT, prometheus_rule
from tests.infra.aws import REGION, fake_aws
from tests.infra.expressions import label_names, metric_names
from tests.infra.tools import INFRA, installed, output, pinned

OVERLAYS = sorted(path.name for path in (INFRA / "kubernetes" / "overlays").iterdir())
CUSTOM = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
"""Kinds of operators, whose schemas are not Kubernetes'; tests below look at their fields."""
SECONDS_TO_END = 5
"""What a process may take after its drain: the engine's close, and the interpreter's end."""


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    kubectl = installed("kubectl", "the Kubernetes overlays were not rendered or checked")
    text = output([kubectl, "kustomize", INFRA / "kubernetes" / "overlays" / overlay])
    return tuple(yaml.safe_load_all(text))


def the(kind: str, overlay: str, name: str = "embellama") -> dict[str, Any]:
    """The object of this kind and name."""
    (found,) = [
        document
        for document in rendered(overlay)
        if (document["kind"], document["metadata"]["name"]) == (kind, name)
    ]
    return found


def pod(overlay: str) -> dict[str, Any]:
    spec: dict[str, Any] = the("Deployment", overlay)["spec"]["template"]["spec"]
    return spec


def container(overlay: str) -> dict[str, Any]:
    (server,) = [entry for entry in pod(overlay)["containers"] if entry["name"] == "server"]
    found: dict[str, Any] = server
    return found


def options(overlay: str) -> dict[str, str]:
    """The variables of the server's container."""
    (found,) = [doc for doc in rendered(overlay) if doc["kind"] == "ConfigMap"]
    literal = {
        entry["name"]: entry.get("value", "redis://h")
        for entry in container(overlay).get("env", [])
    }
    return {**found["data"], **literal}


@pytest.mark.parametrize("version", ["1.30.0", "1.37.0"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid(overlay: str, version: str, tmp_path: Path) -> None:
    """`kubernetes-validate --strict` knows every kind but the operators' and every field."""
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(rendered(overlay)))
    result = subprocess.run(
        [pinned("kubernetes-validate"), "--strict", "-k", version, file],
        capture_output=True,
        text=True,
    )
    lines = (result.stdout + result.stderr).splitlines()
    unknown = [line for line in lines if "Couldn't find schema" in line]
    assert {line.split("for kind ")[1].split()[0] for line in unknown} <= CUSTOM
    assert [line for line in lines if not line.startswith("INFO") and line not in unknown] == []
    assert sum("passed" in line for line in lines) + len(unknown) == len(rendered(overlay))
    assert result.returncode == 0


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_variables_are_options_that_the_server_takes(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself reads the ConfigMap; an unknown or wrong option would end it."""
    for name, value in options(overlay).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.host == ("::",)
    (port,) = container(overlay)["ports"]
    assert settings.port == port["containerPort"]
    assert str(settings.api_key_file).startswith("/run/secrets/embellama/")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_has_time_to_drain(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PreStop + drain + end < grace, and no request may take longer than the drain."""
    for name, value in options(overlay).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    stop = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    probe = container(overlay)["readinessProbe"]
    assert stop >= probe["periodSeconds"] * probe["failureThreshold"]
    grace = pod(overlay)["terminationGracePeriodSeconds"]
    assert stop + settings.shutdown_timeout_seconds + SECONDS_TO_END < grace
    assert settings.request_timeout_seconds <= settings.shutdown_timeout_seconds


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_routes_that_need_no_key(overlay: str) -> None:
    """Each probe's path answers 200 on a server with keys; start has at least ten minutes."""
    with fake_engine() as engine:
        client = TestClient(create_app(Settings(api_key=("k" * 32,)), engine))
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container(overlay)[probe]["httpGet"]
            assert client.get(asked["path"]).status_code == 200
            assert asked["port"] == "http"
    start = container(overlay)["startupProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 600


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_may_do_little(overlay: str) -> None:
    """Each container as the `restricted` pod security standard wants it, and read-only."""
    deployments = [doc for doc in rendered(overlay) if doc["kind"] == "Deployment"]
    for spec in (deployment["spec"]["template"]["spec"] for deployment in deployments):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for entry in [*spec["containers"], *spec.get("initContainers", [])]:
            assert entry["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(entry["resources"]["limits"])
            assert ":" in entry["image"]
            assert not entry["image"].endswith(":latest")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_the_servers_pods_only(overlay: str) -> None:
    """Service, budget, policy and spread select what the Deployment labels, and not Redis."""
    labels = {"app.kubernetes.io/name": "embellama"}
    assert the("Deployment", overlay)["spec"]["selector"]["matchLabels"] == labels
    assert the("Deployment", overlay)["spec"]["template"]["metadata"]["labels"] == labels
    assert the("Service", overlay)["spec"]["selector"] == labels
    assert the("PodDisruptionBudget", overlay)["spec"]["selector"]["matchLabels"] == labels
    assert the("NetworkPolicy", overlay)["spec"]["podSelector"]["matchLabels"] == labels
    for constraint in pod(overlay)["topologySpreadConstraints"]:
        assert constraint["labelSelector"]["matchLabels"] == labels
    (clients, _) = the("NetworkPolicy", overlay)["spec"]["ingress"][0]["from"]
    assert clients == {"podSelector": {"matchLabels": {"embellama-client": "true"}}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_thing_decides_how_many_replicas_there_are(overlay: str) -> None:
    """A number, an autoscaler or KEDA: two of them would fight."""
    kinds = [document["kind"] for document in rendered(overlay)]
    deciders = kinds.count("HorizontalPodAutoscaler") + kinds.count("ScaledObject")
    has_number = "replicas" in the("Deployment", overlay)["spec"]
    assert deciders + has_number == 1


def test_the_gpu_overlay_asks_for_a_gpu() -> None:
    limits = container("gpu")["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == container("gpu")["resources"]["requests"]["nvidia.com/gpu"]
    assert options("gpu")["EMBELLAMA_GPU"] == "true"
    assert container("gpu")["image"].endswith("-gpu")
    assert pod("gpu")["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_keda_scales_on_what_waits_and_on_p95() -> None:
    """Both queries read metrics and labels that exist; `namespace` is the operator's."""
    spec = the("ScaledObject", "keda")["spec"]
    assert spec["scaleTargetRef"]["name"] == "embellama"
    assert spec["minReplicaCount"] >= 2
    queue, p95 = spec["triggers"]
    assert metric_names(queue["metadata"]["query"]) == {"embellama_queue_tokens"}
    assert metric_names(p95["metadata"]["query"]) == {"embellama_request_duration_seconds_bucket"}
    assert label_names(p95["metadata"]["query"]) == {"le", "namespace", "route"}
    for trigger in (queue, p95):
        assert trigger["type"] == "prometheus"
        assert float(trigger["metadata"]["threshold"]) > 0
        assert {"serverAddress", "query", "threshold"} == set(trigger["metadata"])


@pytest.mark.parametrize("overlay", ["gpu", "keda"])
def test_prometheus_operator_finds_the_service(overlay: str) -> None:
    """The monitor selects the Service by label and port, and has a key."""
    monitor = the("ServiceMonitor", overlay)["spec"]
    service = the("Service", overlay)
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["authorization"]["credentials"]["name"] == "embellama-keys"
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "embellama"


def test_the_operators_rules_are_ours() -> None:
    """`python infra/monitoring/prometheus_rule.py` was run after the last change."""
    assert prometheus_rule() == yaml.safe_load(OUTPUT.read_text("utf-8"))


@pytest.mark.model
def test_the_init_container_fetches_what_the_server_serves(
    default_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its command is run against a bucket; the server's options then find the model offline."""
    (fetching,) = pod("model-s3")["initContainers"]
    assert fetching["image"] == container("model-s3")["image"]
    assert fetching["envFrom"] == container("model-s3")["envFrom"]
    for entry in (fetching, container("model-s3")):
        mounts = {mount["name"]: mount["mountPath"] for mount in entry["volumeMounts"]}
        assert entry["env"] == [{"name": "XDG_CACHE_HOME", "value": mounts["cache"]}]
    variables = options("model-s3") | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    bucket, _, prefix = variables["EMBELLAMA_MODEL_PATH"].removeprefix("s3://").partition("/")
    with fake_aws(tmp_path) as aws:
        aws.client("s3").create_bucket(Bucket=bucket)
        for file in default_bundle.iterdir():
            aws.client("s3").upload_file(str(file), bucket, f"{prefix}/{file.name}")
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        places = {"AWS_ENDPOINT_URL": aws.url, "AWS_REGION": REGION}
        command = [sys.executable, *fetching["command"][1:]]
        subprocess.run(command, check=True, env=os.environ | variables | keys | places)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.offline
    found = ensure_bundle(settings.model_path, offline=True, progress=print)
    assert (found / "manifest.json").read_bytes() == (default_bundle / "manifest.json").read_bytes()
