"""Writes the Grafana dashboard from panels.toml: `python infra/monitoring/dashboard.py`."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
OUTPUT = _HERE / "grafana" / "dashboards" / "embellama.json"
_WIDTH, _HEIGHT, _COLUMNS = 8, 7, 3
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_VARIABLES = {
    "job": "embellama_build_info",
    "instance": 'embellama_build_info{job=~"$job"}',
    "model": 'embellama_model_info{job=~"$job"}',
}
"""Name of a variable, and the metric whose label of this name has its values."""


def dashboard() -> dict[str, Any]:
    """The document that Grafana reads."""
    table = tomllib.loads((_HERE / "panels.toml").read_text("utf-8"))
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    return {
        "uid": "embellama",
        "title": "Embellama",
        "tags": ["embellama"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *map(_variable, _VARIABLES)]},
        "panels": _panels(table["row"], table["selectors"]),
    }


def _variable(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({_VARIABLES[name]}, {name})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: list[dict[str, Any]], selectors: dict[str, str]) -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        height = row.get("height", _HEIGHT)
        place = {"x": 0, "y": top, "w": _WIDTH * _COLUMNS, "h": 1}
        panels.append(
            {"id": len(panels) + 1, "type": "row", "title": row["title"], "gridPos": place}
        )
        for column, panel in enumerate(row["panel"]):
            place = {"x": column * _WIDTH, "y": top + 1, "w": _WIDTH, "h": height}
            head = {"id": len(panels) + 1, "gridPos": place}
            panels.append(head | _panel(panel, selectors))
        top += 1 + height
    return panels


def _panel(panel: dict[str, Any], selectors: dict[str, str]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    defaults = {"unit": panel.get("unit", "short"), "min": 0, "max": panel.get("maximum")}
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel.get("help", ""),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": "ABC"[index],
                "expr": re.sub(r"\b[A-Z]+\b", lambda m: selectors.get(m[0], m[0]), query).strip(),
                "legendFormat": legend,
                "instant": kind == "table",
                "format": "table" if kind == "table" else "time_series",
            }
            for index, (legend, query) in enumerate(panel["queries"].items())
        ],
    }


if __name__ == "__main__":
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(dashboard(), indent=1) + "\n", "utf-8")
