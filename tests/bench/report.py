"""What a run found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from tests.bench.bars import BARS
from tests.bench.context import Context
from tests.bench.figures import Figures, Spread

_BAR_WIDTH = 40
_PLOTTED = ("short/16/", "mixed/16/", "mixed/bare", "batch-32/1/")
_DETAILS = ("/p50", "/p99")
_DIGITS = {"min-cosine": 6, "mean-cosine": 6, "batch-difference": 9}


def text(context: Context, facts: Mapping[str, str]) -> str:
    """The whole report."""
    return "\n".join(
        [
            *_machine(context, facts),
            "",
            *_bars(context.figures),
            "",
            *_table(context.figures),
            "",
            *_plot(context.figures),
            *(["", "Notes:"] if context.figures.notes else []),
            *(f"- {note}" for note in context.figures.notes),
            "",
        ]
    )


def as_json(context: Context, facts: Mapping[str, str]) -> dict[str, object]:
    """The same for programs, with the value of every round."""
    verdicts = [verdict for bar in BARS if (verdict := bar.judge(context.figures))]
    return {
        "facts": dict(facts),
        "rounds": context.rounds,
        "load_average": [round(load, 2) for load in context.loads],
        "bars": [
            {
                "what": verdict.bar.what,
                "wanted": verdict.wanted,
                "passed": verdict.passed,
                **asdict(verdict.spread),
            }
            for verdict in verdicts
        ],
        "figures": {
            name: {"unit": context.figures.units[name], "rounds": values}
            for name, values in context.figures.values.items()
        },
        "notes": context.figures.notes,
    }


def throughputs(figures: Figures) -> dict[str, Spread]:
    """What the plots show: the figures at 16 connections and of batches of 32."""
    return {
        name: Spread.of(values)
        for name, values in figures.values.items()
        if name.startswith(_PLOTTED) and not name.endswith(_DETAILS)
    }


def _machine(context: Context, facts: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, facts))
    for name, value in facts.items():
        yield f"{name:<{width}}  {value}"
    if context.loads:
        found = Spread.of(context.loads)
        yield f"load average at the begin of each round: {found.text()}"


def _bars(figures: Figures) -> Iterator[str]:
    yield f"{'':4}  {'median (range)':>26}  {'bar':>10}  what"
    for bar in BARS:
        verdict = bar.judge(figures)
        if verdict is None:
            yield f"{'-':4}  {'not measured in this run':>26}  {'':>10}  {bar.what}"
        else:
            word = "pass" if verdict.passed else "MISS"
            value = f"{verdict.spread.text(bar.digits)} {bar.unit}"
            yield f"{word:4}  {value:>26}  {verdict.wanted:>10}  {bar.what}"


def _table(figures: Figures) -> Iterator[str]:
    width = max(map(len, figures.values), default=0)
    for name, values in figures.values.items():
        spread = Spread.of(values)
        digits = _DIGITS.get(name.rsplit("/", 1)[-1], 1 if spread.median >= 100 else 3)
        yield f"{name:<{width}}  {spread.text(digits)} {figures.units[name]}"


def _plot(figures: Figures) -> Iterator[str]:
    shown = throughputs(figures)
    width = max(map(len, shown), default=0)
    groups: dict[str, float] = {}
    for name, spread in shown.items():
        group = name.split("/")[0]
        groups[group] = max(groups.get(group, 0.0), spread.median)
    for name, spread in sorted(
        shown.items(), key=lambda item: (item[0].split("/")[0], -item[1].median)
    ):
        length = round(_BAR_WIDTH * spread.median / groups[name.split("/")[0]])
        value = f"{spread.median:,.1f} {figures.units[name]}"
        yield f"{name:<{width}}  {'#' * length:<{_BAR_WIDTH}}  {value}"
