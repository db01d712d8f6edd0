"""The dashboard's panels with what Prometheus answers to their queries; no Grafana is needed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tests.infra.expressions import DASHBOARD, filled_in

_OF_A_GPU = "DCGM"
_NOT_SHOWN = {"__name__", "job"}


class Prometheus(Protocol):
    """What is asked of it."""

    def get(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401 - JSON
        """The data of an answer."""


@dataclass(frozen=True, slots=True)
class Run:
    """When it was, in seconds of Unix time, and how often Prometheus looked."""

    start: float
    end: float
    scrape_seconds: int

    @property
    def variables(self) -> dict[str, str]:
        """Those of Grafana: everything is chosen, and rates are over four scrapes."""
        everything = dict.fromkeys(("$job", "$instance", "$model"), ".*")
        return everything | {"$__rate_interval": f"{4 * self.scrape_seconds}s"}


def answered(monitor: Prometheus, run: Run) -> list[dict[str, Any]]:
    """Every panel: its title, kind, unit and place, and what it has to show.

    `series` is a list of `{"name", "points": [[seconds since the start, value or None], ...]}`,
    `rows` is a table's, and `missing` says why there is nothing.
    """
    return list(_panels(monitor, run))


def _panels(monitor: Prometheus, run: Run) -> Iterator[dict[str, Any]]:
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        found = {name: panel[name] for name in ("title", "type", "gridPos")}
        if panel["type"] != "row":
            found |= panel["fieldConfig"]["defaults"]
            ask = _rows if panel["type"] == "table" else _series
            found |= {"series": [], "rows": [], "missing": []}
            for target in panel["targets"]:
                ask(monitor, run, target, found)
        yield found


def _series(monitor: Prometheus, run: Run, target: dict[str, Any], panel: dict[str, Any]) -> None:
    expression = filled_in(target["expr"], run.variables)
    answer = monitor.get(
        "query_range", query=expression, start=run.start, end=run.end, step=run.scrape_seconds
    )
    for line in answer["result"]:
        points = [[at - run.start, _number(value)] for at, value in line["values"]]
        name = _legend(target["legendFormat"], line["metric"])
        panel["series"].append({"name": name, "points": points})
    if not answer["result"]:
        panel["missing"].append("no GPU" if _OF_A_GPU in expression else "no data")


def _rows(monitor: Prometheus, run: Run, target: dict[str, Any], panel: dict[str, Any]) -> None:
    query = filled_in(target["expr"], run.variables)
    for line in monitor.get("query", query=query, time=run.end)["result"]:
        shown = {name: text for name, text in line["metric"].items() if name not in _NOT_SHOWN}
        panel["rows"].append(shown)
    if not panel["rows"]:
        panel["missing"].append("no data")


def _legend(template: str, labels: dict[str, str]) -> str:
    """What Grafana calls a series."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), template).strip()


def _number(text: str) -> float | None:
    """A value of Prometheus; None where it is no number, such as 0 / 0, and so a gap."""
    value = float(text)
    return value if math.isfinite(value) else None
