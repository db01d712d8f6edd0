"""PromQL of our rules and dashboard, and the names of metrics in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.infra.tools import INFRA

RULES = sorted((INFRA / "monitoring" / "rules").glob("*.yaml"))
DASHBOARD = INFRA / "monitoring" / "grafana" / "dashboards" / "embellama.json"
OF_OTHERS = frozenset({"up", "DCGM_FI_DEV_FB_USED", "DCGM_FI_DEV_FB_FREE"})
"""What Prometheus itself and NVIDIA's dcgm-exporter bring; each is explained where it is used."""

_NOT_NAMES = re.compile(
    r'"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}'
    r"|\b\w+\s+(?=(?:by|without)\s*\()"
    r"|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)"
    r"|\b\w+\s*\(|\b(?:and|or|unless|bool|offset|by|on)\b"
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def rules() -> list[dict[str, Any]]:
    """All alert and recording rules."""
    documents = [yaml.safe_load(path.read_text("utf-8")) for path in RULES]
    return [
        rule for document in documents for group in document["groups"] for rule in group["rules"]
    ]


def dashboard_expressions(
    job: str = ".*", instance: str = ".*", model: str = ".*"
) -> Iterator[str]:
    """Every query of the dashboard as Grafana sends it, variables filled in."""
    document = json.loads(DASHBOARD.read_text("utf-8"))
    values = {"$job": job, "$instance": instance, "$model": model, "$__rate_interval": "1m"}
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield filled_in(target["expr"], values)


def filled_in(expression: str, values: Mapping[str, str]) -> str:
    """A query with Grafana's variables replaced."""
    for name, value in values.items():
        expression = expression.replace(name, value)
    return expression


def metric_names(expression: str) -> set[str]:
    """Names of the metrics that a query reads."""
    return set(_NAME.findall(_NOT_NAMES.sub(" ", expression)))


def label_names(expression: str) -> set[str]:
    """Names of the labels that a query selects or groups by."""
    matchers = "".join(re.findall(r"\{([^}]*)\}", expression))
    selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)
    groups = re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression)
    return set(selected) | {name.strip() for group in groups for name in group.split(",")}
