"""The dashboard's picture: every panel is asked and named as Grafana would."""

from __future__ import annotations

import json
from typing import Any

from tests.infra.expressions import DASHBOARD
from tests.infra.picture.panels import Run, answered

RUN = Run(start=1000, end=1006, scrape_seconds=3)
MODEL_INFO = {"__name__": "embellama_model_info", "job": "x", "model": "m", "engine": "onnx"}


class FakePrometheus:
    """Has one series to each query, and none of a GPU."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str, **parameters: str | float) -> Any:  # noqa: ANN401 - JSON
        query = str(parameters["query"])
        self.asked.append(query)
        if "DCGM" in query:
            return {"result": []}
        if path == "query":
            return {"result": [{"metric": MODEL_INFO, "value": [1006, "1"]}]}
        labels = {"model": "m", "route": "/v1/embeddings", "status": "200"}
        values = [[1000, "1.5"], [1003, "NaN"], [1006, "2"]]
        return {"result": [{"metric": labels, "values": values}]}


def _answered() -> tuple[FakePrometheus, dict[str, dict[str, Any]]]:
    monitor = FakePrometheus()
    return monitor, {panel["title"]: panel for panel in answered(monitor, RUN)}


def test_every_query_is_asked_without_a_variable_left() -> None:
    monitor, _ = _answered()
    targets = [
        target
        for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]
        for target in panel.get("targets", ())
    ]
    assert len(monitor.asked) == len(targets)
    assert [query for query in monitor.asked if "$" in query] == []


def test_a_series_is_named_by_its_labels_and_what_is_no_number_is_a_gap() -> None:
    _, panels = _answered()
    (series,) = panels["Requests"]["series"]
    assert series == {"name": "/v1/embeddings 200", "points": [[0, 1.5], [3, None], [6, 2.0]]}


def test_a_table_shows_labels() -> None:
    _, panels = _answered()
    assert panels["Engine"]["rows"] == [{"model": "m", "engine": "onnx"}]


def test_what_only_a_gpu_has_is_said_to_be_missing() -> None:
    _, panels = _answered()
    assert panels["Memory"]["missing"] == ["no GPU"]
    assert [title for title, panel in panels.items() if panel.get("missing")] == ["Memory"]
