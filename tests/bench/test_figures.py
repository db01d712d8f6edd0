"""What the bench makes of its values: a wrong median or verdict would mislead whoever reads it."""

from __future__ import annotations

import operator

from tests.bench.bars import BARS
from tests.bench.context import Context
from tests.bench.figures import Figures, Spread, percentile
from tests.bench.report import as_json, text


def test_a_ratio_is_taken_round_by_round() -> None:
    figures = Figures()
    for mine, other in ((10.0, 10.0), (40.0, 20.0), (90.0, 30.0)):
        figures.add("a", mine, "texts/s")
        figures.add("b", other, "texts/s")
    assert figures.compare("a", "b", operator.truediv) == Spread(2.0, 1.0, 3.0, 3)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]


def test_a_miss_is_reported_as_one() -> None:
    context = Context(rounds=1, quick=False, peers=())
    context.figures.add("overhead/1/p50", 1.6, "ms")
    lines = [line for line in text(context, {"cpu": "x"}).splitlines() if "fake backend" in line]
    assert [line.split()[:2] for line in lines] == [["MISS", "1.60"]]
    assert as_json(context, {})["bars"] == [
        {
            "what": "p50 of the route, fake backend, 1 connection, all on",
            "wanted": "<= 1.5 ms",
            "passed": False,
            "median": 1.6,
            "low": 1.6,
            "high": 1.6,
            "rounds": 1,
        }
    ]


def test_what_was_not_measured_is_neither_passed_nor_hidden() -> None:
    found = text(Context(rounds=1, quick=False, peers=()), {"cpu": "x"})
    assert found.count("not measured in this run") == len(BARS)
    assert "pass" not in found
