"""What was measured: named figures, one value a round, and what is made of them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds, and the smallest and largest of them."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        return cls(statistics.median(values), min(values), max(values), len(values))

    def text(self, digits: int = 1) -> str:
        """`12.3 (11.0-14.2)`."""
        if self.rounds == 1:
            return f"{self.median:,.{digits}f} (1 round)"
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}-{self.high:,.{digits}f})"


@dataclass(slots=True)
class Figures:
    """Values by name, one a round: `mixed/16/ours` -> texts a second of each round."""

    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str) -> None:
        """Keep the value of one round."""
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    def note(self, text: str) -> None:
        """Keep what a reader has to know, once."""
        if text not in self.notes:
            self.notes.append(text)

    def spread(self, name: str) -> Spread | None:
        """Median and range of a figure; None if it was not measured."""
        values = self.values.get(name)
        return Spread.of(values) if values else None

    def compare(
        self, first: str, second: str, how: Callable[[float, float], float]
    ) -> Spread | None:
        """Two figures of the same rounds, joined round by round: what moves both cancels out."""
        if first not in self.values or second not in self.values:
            return None
        pairs = zip(self.values[first], self.values[second], strict=False)
        return Spread.of([how(mine, other) for mine, other in pairs])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
