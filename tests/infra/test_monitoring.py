"""The rules and the dashboard, checked by Prometheus' own tools and against a live server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import yaml

from engine.golden import minimum_cosine
from infra.monitoring.dashboard import dashboard
from tests.infra import served
from tests.infra.expressions import (
    DASHBOARD,
    OF_OTHERS,
    RULES,
    dashboard_expressions,
    label_names,
    metric_names,
    rules,
)
from tests.infra.tools import installed, output

UNCHECKED = "the alert rules and the dashboard's queries were not checked"
TESTS = Path(__file__).parent / "alerts_test.yaml"
LABELS_OF_PROMETHEUS = {"job", "instance"}


def _live_metrics(fault: Path) -> str:
    with served.started(fault) as server:
        for body in ({"model": served.MODEL, "input": "a"}, {"model": served.MODEL}):
            httpx2.post(f"{server.url}/v1/embeddings", json=body)
        return httpx2.get(f"{server.url}/metrics").text


def test_rules_are_valid() -> None:
    """Promtool finds nothing wrong, and every rule is found."""
    found = output([installed("promtool", UNCHECKED), "check", "rules", *RULES])
    assert sum(map(int, re.findall(r"(\d+) rules found", found))) == len(rules())


def test_every_alert_fires_when_it_should() -> None:
    """Promtool runs the rules over made-up series."""
    assert "SUCCESS" in output([installed("promtool", UNCHECKED), "test", "rules", TESTS])


def test_every_alert_is_tested() -> None:
    """No alert is without a test that brings it to firing."""
    tested = set(re.findall(r'ALERTS\{alertname="(\w+)", alertstate="firing"', TESTS.read_text()))
    assert {rule["alert"] for rule in rules() if "alert" in rule} == tested


def test_every_alert_says_what_happens_and_how_urgent_it_is() -> None:
    for rule in rules():
        if "alert" in rule:
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
            assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]


def test_the_bounds_of_certificates_are_the_engines() -> None:
    """The alert on drift has the tolerance of every precision that has one."""
    (rule,) = [rule for rule in rules() if rule.get("alert") == "EmbellamaCertificateDrift"]
    bounds = re.findall(r'precision=~?"([^"]+)"\} \+ ([0-9.]+)', rule["expr"])
    assert {name for names, _ in bounds for name in names.split("|")} == {
        "fp32", "f32", "f16", "bf16", "q8_0",
    }  # fmt: skip
    for names, bound in bounds:
        for name in names.split("|"):
            assert minimum_cosine(name) == float(bound)


def test_the_dashboard_is_made_from_its_table() -> None:
    """`python infra/monitoring/dashboard.py` was run after the last change."""
    assert dashboard() == json.loads(DASHBOARD.read_text("utf-8"))


def test_every_query_of_the_dashboard_parses(tmp_path: Path) -> None:
    """Promtool reads each as the expression of a rule."""
    expressions = list(dashboard_expressions())
    assert len(expressions) >= 25
    made = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(expressions)]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": made}]}))
    found = output([installed("promtool", UNCHECKED), "check", "rules", file])
    assert f"{len(expressions)} rules found" in found


def test_metrics_and_labels_are_those_that_a_live_server_exports(fault: Path) -> None:
    """No rule and no panel looks at a name that is not there, or that is spelled otherwise."""
    text = _live_metrics(fault)
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    exported = {re.split(r"[{ ]", line)[0] for line in samples}
    labels = {name for line in samples for name in re.findall(r'(\w+)="', line)}
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    queries = [*dashboard_expressions(), *(rule["expr"] for rule in rules())]
    asked = set().union(*map(metric_names, queries))
    assert asked - exported - recorded == OF_OTHERS
    assert set().union(*map(label_names, queries)) - labels <= LABELS_OF_PROMETHEUS


def test_metric_names_are_found_in_a_query() -> None:
    """The finder of names reads selectors, groups, functions and operators as such."""
    query = (
        'sum by (le) (rate(a_total{x="b_total"}[5m])) / on (c) d:e:f and g unless h or vector(0)'
    )
    assert metric_names(query) == {"a_total", "d:e:f", "g", "h"}
    assert label_names(query) == {"le", "x", "c"}
