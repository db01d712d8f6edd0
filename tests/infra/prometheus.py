"""Debian's Prometheus over a server of ours, asked as Grafana asks it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import yaml

from tests.functions.ports import free_port
from tests.infra.expressions import RULES
from tests.infra.tools import INFRA, installed, until
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

    def is_ready(self) -> bool:
        """Whether it answers queries: at first it listens, and says 503 in plain text."""
        return httpx2.get(f"{self.url}/-/ready").status_code == 200

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
def prometheus(
    port: int, directory: Path, *, instance: str | None = None, scrape_seconds: int = 1
) -> Iterator[Prometheus]:
    """Prometheus with our configuration, but for addresses, files and a faster clock.

    `instance` is what the server is called, in place of its address.
    """
    program = installed("prometheus", UNCHECKED)
    key = directory / "key"
    key.write_text(KEY)
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    (scrape,) = config["scrape_configs"]
    config["global"] = dict.fromkeys(
        ("scrape_interval", "evaluation_interval"), f"{scrape_seconds}s"
    )
    config["rule_files"] = [str(path) for path in RULES]
    scrape["authorization"]["credentials_file"] = str(key)
    labels = {} if instance is None else {"instance": instance}
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
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
            until(found.is_ready, "Prometheus was never ready")
            until(lambda: found.get("query", query="up == 1")["result"], "no scrape succeeded")
            yield found
        finally:
            end(process)
