from __future__ import annotations

from pathlib import Path

import pytest

from tests.load import __main__ as program
from tests.load import cases, report
from tests.load.k6 import Sent, Threshold


def _outcome(case: cases.Case, *, connections: int) -> cases.Outcome:
    sent = Sent(
        outcomes={"right": 9, "wrong": 0, "refused": 0, "failed": 1},
        latency_ms={},
        thresholds=(Threshold("failed", "count==0", kept=False),),
        counts={"failed": 1},
        notes=("a request failed",),
    )
    return cases.Outcome(case, sent, 1.0, connections, None, None)


def test_each_promise_has_a_line_that_says_whether_it_was_kept() -> None:
    text = report.text([_outcome(cases.CASES[0], connections=1000)])
    assert [line.split()[:3] for line in text.splitlines() if line[:4] in ("kept", "MISS")] == [
        ["kept", "ramp", "connections"],
        ["MISS", "ramp", "failed"],
    ]


def test_a_small_load_has_figures_and_no_verdict() -> None:
    """A few seconds show that the scripts run, and not what the server promises."""
    text = report.text([_outcome(cases.CASES[0], connections=50)], verdict=False)
    assert "9 of 10 (90 %)" in text
    assert "ramp: a request failed" in text
    assert not any(word in text for word in ("kept", "MISS", ">=", "count=="))


def test_only_a_whole_load_that_breaks_a_promise_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [_outcome(case, connections=50) for case in cases.CASES]
    assert program.tell(found, None) == 0
    assert "MISS" not in capsys.readouterr().out
    assert program.tell(found, tmp_path) == 1
    assert "MISS" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["load.json", "load.txt"]
