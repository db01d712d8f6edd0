"""What must be shown: a figure, how it is made of what was measured, and its bar."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.figures import Figures, Spread

_NO_GROWTH_MB = 2.0
"""What a heap may move by without growing: less than 11 bytes a request."""


@dataclass(frozen=True, slots=True)
class Bar:
    """`measure` gives None where the run did not measure it."""

    what: str
    measure: Callable[[Figures], Spread | None]
    limit: float
    unit: str
    at_least: bool
    digits: int = 2

    def judge(self, figures: Figures) -> Verdict | None:
        """The verdict on the median; None where it was not measured."""
        spread = self.measure(figures)
        if spread is None:
            return None
        value = spread.median
        passed = value >= self.limit if self.at_least else value <= self.limit
        return Verdict(self, spread, passed)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bar and what was measured."""

    bar: Bar
    spread: Spread
    passed: bool

    @property
    def wanted(self) -> str:
        """`>= 0.92 x`."""
        return f"{'>=' if self.bar.at_least else '<='} {self.bar.limit:g} {self.bar.unit}"


def _ratio(first: str, second: str, limit: float, what: str) -> Bar:
    return Bar(what, _joined(first, second, operator.truediv), limit, "x", at_least=True)


def _at_most(first: str, second: str, limit: float, what: str) -> Bar:
    return Bar(what, _joined(first, second, operator.truediv), limit, "x", at_least=False)


def _over(name: str, limit: float, what: str, unit: str) -> Bar:
    how = _joined(f"{name}/ours", f"{name}/yardstick", operator.sub)
    return Bar(what, how, limit, unit, at_least=False)


def _plain(name: str, limit: float, what: str, unit: str) -> Bar:
    return Bar(what, lambda found: found.spread(name), limit, unit, at_least=False)


def _at_least(name: str, limit: float, what: str, unit: str = "") -> Bar:
    return Bar(what, lambda found: found.spread(name), limit, unit, at_least=True, digits=6)


def _joined(
    first: str, second: str, how: Callable[[float, float], float]
) -> Callable[[Figures], Spread | None]:
    return lambda found: found.compare(first, second, how)


_MIXED = "mixed texts, 16 connections"
_SHORT = "short query, 16 connections"
_Q8_0 = "llama_cpp.server, Q8_0"

BARS = (
    _ratio("mixed/16/ours", "mixed/bare", 0.92, f"{_MIXED}, over the bare runtime"),
    _ratio("mixed/16/ours", "mixed/16/infinity", 5, f"{_MIXED}, over infinity"),
    _ratio("mixed/16/ours", "mixed/16/llama_cpp", 5, f"{_MIXED}, over llama_cpp.server, F32"),
    _ratio("mixed/16/ours", "mixed/16/llama_cpp-q8_0", 5, f"{_MIXED}, over {_Q8_0}"),
    _ratio("short/16/ours", "short/16/infinity", 2, f"{_SHORT}, over infinity"),
    _ratio("short/16/ours", "short/16/llama_cpp", 4, f"{_SHORT}, over llama_cpp.server, F32"),
    _ratio("short/16/ours", "short/16/llama_cpp-q8_0", 4, f"{_SHORT}, over {_Q8_0}"),
    _ratio(
        "batch-32/1/ours",
        "batch-32/1/sentence-transformers",
        1.7,
        "batches of 32 mixed texts, over sentence-transformers in process",
    ),
    _over("latency", 1.0, "p50 at one connection, over Engine.embed of the same text", "ms"),
    _at_most(
        "fairness/both/p99", "fairness/idle/p99", 3, "p99 of single queries: beside bulk over idle"
    ),
    _ratio(
        "fairness/both/bulk", "fairness/alone/bulk", 0.9, "bulk: beside single queries over alone"
    ),
    _plain("connections/lost", 0, "1,000 connections, 4 requests each: neither 200 nor 429", ""),
    _over("memory-idle", 60, "memory over the bare runtime, idle", "MB"),
    _over("memory-loaded", 100, "memory over the bare runtime, after load", "MB"),
    _plain("memory/growth", _NO_GROWTH_MB, "anonymous memory, 200,000 requests over 20,000", "MB"),
    _ratio("precision/int8", "precision/fp32", 1.6, "int8 over fp32, Engine.embed of mixed texts"),
    _at_least("precision/int8/min-cosine", 0.998, "int8: smallest cosine of the golden texts"),
    _at_least("precision/bf16/min-cosine", 0.9999, "bf16: the same, as `auto` asks for"),
    _plain("overhead/1/p50", 1.5, "p50 of the route, fake backend, 1 connection, all on", "ms"),
)
