"""One real run: Prometheus scrapes a live server that breaks; Grafana's queries have answers."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.functions.ports import free_port
from tests.infra import served
from tests.infra.expressions import RULES, dashboard_expressions
from tests.infra.served import Served
from tests.infra.tools import INFRA, installed, output, until
from tests.processes import end

UNCHECKED = "no live server was scraped, and no alert fired"
CONFIG = INFRA / "monitoring" / "prometheus.yaml"
KEY = "the-key-of-the-scraper"


class Prometheus:
    """A running one, asked as Grafana asks it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401 - JSON
        answer = httpx2.get(f"{self.url}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def alert(self, name: str) -> str | None:
        """The state of an alert, or None where it is inactive."""
        alerts = self.get("alerts")["alerts"]
        states = [alert["state"] for alert in alerts if alert["labels"]["alertname"] == name]
        return states[0] if states else None

    def has_data(self, expression: str) -> bool:
        """Whether a panel over the last minute shows something."""
        now = float(self.get("query", query="time()")["result"][0])
        series = self.get("query_range", query=expression, start=now - 60, end=now, step=1)
        return any(value != "NaN" for line in series["result"] for _, value in line["values"])


@contextmanager
def prometheus(server: Served, directory: Path) -> Iterator[Prometheus]:
    """Prometheus with our configuration, but for addresses, files and a faster clock."""
    program = installed("prometheus", UNCHECKED)
    key = directory / "key"
    key.write_text(KEY)
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    (scrape,) = config["scrape_configs"]
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(path) for path in RULES]
    scrape["authorization"]["credentials_file"] = str(key)
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{server.port}"]}]
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}",
             f"--web.listen-address={address}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            found = Prometheus(f"http://{address}")
            until(lambda: found.get("query", query="up == 1")["result"], "no scrape succeeded")
            yield found
        finally:
            end(process)


@contextmanager
def traffic(server: Served) -> Iterator[None]:
    """A few requests a second, one of them bad, until the block ends."""
    ended = threading.Event()
    bodies = [{"model": served.MODEL, "input": ["the cat", "sat"]}] * 4 + [{"model": served.MODEL}]

    def send() -> None:
        with httpx2.Client(headers={"authorization": f"Bearer {KEY}"}) as client:
            while not ended.wait(0.2):
                for body in bodies:
                    client.post(f"{server.url}/v1/embeddings", json=body)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    """Promtool reads infra/monitoring/prometheus.yaml; the secret and rules are elsewhere."""
    promtool = installed("promtool", "prometheus.yaml was not checked")
    text = re.sub(r"/etc/prometheus/rules", str(INFRA / "monitoring" / "rules"), CONFIG.read_text())
    (tmp_path / "key").touch()
    file = tmp_path / "prometheus.yaml"
    file.write_text(text.replace("/run/secrets/metrics_key", str(tmp_path / "key")))
    assert "SUCCESS" in output([promtool, "check", "config", file])


def test_a_broken_backend_fires_an_alert_and_panels_show_data(fault: Path, tmp_path: Path) -> None:
    """Panels have data, the backend breaks, the alert fires; it heals, and the server is ready."""
    with (
        served.started(fault, api_key=KEY, breaker_pause_seconds=1) as server,
        prometheus(server, tmp_path) as monitor,
        traffic(server),
    ):
        for expression in dashboard_expressions(job="embellama", model=served.MODEL):
            if "DCGM" not in expression:
                until(partial(monitor.has_data, expression), expression)
        assert monitor.get("label/model/values", **{"match[]": "embellama_model_info"}) == [
            served.MODEL
        ]
        assert monitor.get("alerts")["alerts"] == []

        fault.touch()
        name = "EmbellamaErrorBudgetFastBurn"
        until(lambda: monitor.alert(name) == "firing", f"{name} is not firing")
        until(lambda: monitor.alert("EmbellamaNoneReady"), "EmbellamaNoneReady is not pending")
        (alert,) = [a for a in monitor.get("alerts")["alerts"] if a["labels"]["alertname"] == name]
        assert re.match(r"embellama fails [\d.]+% of its requests", alert["annotations"]["summary"])

        fault.unlink()
        until(lambda: monitor.alert("EmbellamaNoneReady") is None, "the server stays not ready")
