"""Compose and systemd: what their own tools say, and whether they agree with the server."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from functions.settings_sources import load_settings
from tests.functions.ports import free_port
from tests.infra import served
from tests.infra.tools import INFRA, ROOT, installed, output, pinned, until

COMPOSE = INFRA / "compose"
SYSTEMD = INFRA / "systemd"
UNIT = SYSTEMD / "embellama@.service"
MAX_EXPOSURE = 2.0
"""Of 10, as systemd-analyze rates it; below 2.5 or so it says OK."""


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text("utf-8"))
    return document


def unit_lines() -> dict[str, list[str]]:
    """Values of each key of the unit."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        key, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", ["compose.yaml", "gpu.yaml"])
def test_compose_files_fit_the_schema(name: str) -> None:
    """The schema of the Compose specification knows every key."""
    command = [pinned("check-jsonschema"), "--builtin-schema", "vendor.compose-spec"]
    assert "ok" in output([*command, COMPOSE / name])


def test_every_file_that_compose_mounts_exists() -> None:
    """Relative to infra/compose; secrets are made by who starts it."""
    for service in compose()["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), source
    build = compose()["services"]["server"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).is_file()


def test_compose_runs_the_server_with_options_that_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its variables, its secrets, and more time to stop than the drain needs."""
    service = compose()["services"]["server"]
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert str(settings.api_key_file) == f"/run/secrets/{service['secrets'][0]}"
    assert settings.rate_limit_storage is not None
    assert "redis" in settings.rate_limit_storage.get_secret_value()
    assert settings.shutdown_timeout_seconds + 5 < seconds(service["stop_grace_period"])
    assert settings.request_timeout_seconds <= settings.shutdown_timeout_seconds


def test_compose_shows_nothing_to_the_network() -> None:
    """Ports are published on the loopback address only, and Redis has none."""
    services = compose()["services"]
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name
    assert "ports" not in services["redis"]
    assert services["redis"]["networks"] == ["back"]


def test_grafana_calls_nobody() -> None:
    """By default it reports its use, looks for news and updates, and fetches applications."""
    environment = compose()["services"]["grafana"]["environment"]
    assert environment["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert environment["GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED"] == "true"
    assert environment["GF_SECURITY_DISABLE_GRAVATAR"] == "true"
    for name in ("REPORTING_ENABLED", "CHECK_FOR_UPDATES", "CHECK_FOR_PLUGIN_UPDATES"):
        assert environment[f"GF_ANALYTICS_{name}"] == "false"
    assert environment["GF_NEWS_NEWS_FEED_ENABLED"] == "false"


def test_compose_brings_monitoring_together() -> None:
    """Prometheus scrapes the server's name and port, and Grafana asks Prometheus' one."""
    services = compose()["services"]
    prometheus = yaml.safe_load((INFRA / "monitoring" / "prometheus.yaml").read_text("utf-8"))
    (scrape,) = prometheus["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target == f"server:{services['server']['ports'][0].rsplit(':', 1)[1]}"
    assert scrape["authorization"]["credentials_file"] == "/run/secrets/metrics_key"
    assert services["prometheus"]["secrets"] == ["metrics_key"]
    provisioning = INFRA / "monitoring" / "grafana" / "provisioning"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    provider = yaml.safe_load((provisioning / "dashboards" / "embellama.yaml").read_text("utf-8"))
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["providers"][0]["options"]["path"] in mounted


def unit_environment(directory: Path) -> dict[str, str]:
    """The variables of a server of the unit, with the directories of systemd below this one."""
    pairs = [word for line in unit_lines()["Environment"] for word in line.split()]
    pairs += [
        line
        for line in (SYSTEMD / "embellama.env").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    places = {"%d": str(directory / "credentials"), "%C": str(directory / "cache")}
    found = dict(pair.split("=", 1) for pair in pairs)
    for specifier, place in places.items():
        found = {name: value.replace(specifier, place) for name, value in found.items()}
    return found


def verifiable_unit(directory: Path) -> Path:
    """The unit, with a program that exists on this machine."""
    text = UNIT.read_text("utf-8").replace("/opt/embellama/.venv/bin/embellama", "/bin/true")
    unit = directory / UNIT.name
    unit.write_text(text.replace("EnvironmentFile=/etc", f"EnvironmentFile=-{directory}"))
    return unit


def test_the_unit_is_valid(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing, also with the drop-in for GPUs."""
    program = installed("systemd-analyze", "the systemd unit was not checked")
    unit = verifiable_unit(tmp_path)
    drop_in = tmp_path / f"{UNIT.name}.d"
    drop_in.mkdir()
    (drop_in / "gpu.conf").write_text((SYSTEMD / "gpu.conf").read_text("utf-8"))
    result = subprocess.run([program, "verify", unit], capture_output=True, text=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_unit_may_do_little(tmp_path: Path) -> None:
    """`systemd-analyze security` rates its exposure."""
    program = installed("systemd-analyze", "the systemd unit's exposure was not rated")
    threshold = f"--threshold={round(MAX_EXPOSURE * 10)}"
    output([program, "security", "--offline=true", threshold, verifiable_unit(tmp_path)])


@pytest.mark.model
def test_the_units_command_serves_on_the_port_of_its_instance(
    tmp_path: Path, default_bundle: Path
) -> None:
    """Its ExecStart, with its variables and key, but not as its user and without its fences."""
    environment = unit_environment(tmp_path)
    cache = Path(environment["XDG_CACHE_HOME"]) / "embellama"
    cache.mkdir(parents=True)
    (cache / default_bundle.name).symlink_to(default_bundle)
    keys = Path(environment["EMBELLAMA_API_KEY_FILE"])
    keys.parent.mkdir()
    keys.write_text("me:the-key-of-the-unit\n")
    port = free_port()
    (line,) = unit_lines()["ExecStart"]
    program, *arguments = line.replace("%i", str(port)).split()
    command = [str(Path(sys.executable).parent / Path(program).name), *arguments]
    with served.running(command, port, tmp_path / "log", environment) as server:
        until(server.is_ready, "the unit's server is not ready")
        body = {"model": "all-MiniLM-L6-v2", "input": "the cat"}
        url = f"{server.url}/v1/embeddings"
        assert httpx2.post(url, json=body).status_code == 401
        key = {"authorization": "Bearer the-key-of-the-unit"}
        assert httpx2.post(url, json=body, headers=key).status_code == 200
        (stop,) = unit_lines()["KillSignal"]
        server.process.send_signal(signal.Signals[stop])
        assert server.process.wait(60) == 0


def test_instances_can_run_beside_each_other() -> None:
    """Nginx asks two of the unit's; they have one user, as it owns the cache of both."""
    site = (SYSTEMD / "nginx.conf").read_text("utf-8")
    for port in ("8081", "8082"):
        assert f"embellama@{port}" in site
        assert f"server 127.0.0.1:{port} " in site
    lines = unit_lines()
    assert lines["DynamicUser"] == ["yes"]
    assert lines["User"] == ["embellama"]
    assert "EMBELLAMA_PORT" not in (SYSTEMD / "embellama.env").read_text("utf-8")


def test_the_unit_has_options_that_the_server_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment file is read by the server; SIGKILL comes after the drain."""
    for line in (SYSTEMD / "embellama.env").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            monkeypatch.setenv(*line.split("=", 1))
    settings = load_settings()
    (stop,) = unit_lines()["TimeoutStopSec"]
    assert settings.shutdown_timeout_seconds + 5 < seconds(stop)
    assert settings.request_timeout_seconds <= settings.shutdown_timeout_seconds
    assert unit_lines()["RestartPreventExitStatus"] == ["2"]
    assert (ROOT / "docs" / "deploy.md").is_file()
