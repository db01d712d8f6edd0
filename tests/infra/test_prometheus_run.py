"""One real run: Prometheus scrapes a live server that breaks; Grafana's queries have answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2

from tests.infra import served
from tests.infra.expressions import dashboard_expressions
from tests.infra.prometheus import CONFIG, KEY, prometheus
from tests.infra.served import Served
from tests.infra.tools import INFRA, installed, output, until


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
        prometheus(server.port, tmp_path) as monitor,
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
