"""Writes the rules for the Prometheus operator: `python infra/monitoring/prometheus_rule.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

_INFRA = Path(__file__).resolve().parent.parent
OUTPUT = _INFRA / "kubernetes" / "components" / "prometheus-operator" / "rules.yaml"


def prometheus_rule() -> dict[str, Any]:
    """All rules in one object."""
    files = sorted((_INFRA / "monitoring" / "rules").glob("*.yaml"))
    groups = [
        group for file in files for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "embellama"},
        "spec": {"groups": groups},
    }


if __name__ == "__main__":
    head = "# Made by infra/monitoring/prometheus_rule.py from infra/monitoring/rules.\n"
    OUTPUT.write_text(head + yaml.safe_dump(prometheus_rule(), sort_keys=False, width=100))
