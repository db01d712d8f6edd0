"""What every phase is given."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from tests.bench.figures import Figures
from tests.bench.machine import load_average


@dataclass(slots=True)
class Context:
    """How thoroughly to measure, and where to put what was found."""

    rounds: int
    quick: bool
    peers: tuple[str, ...]
    figures: Figures = field(default_factory=Figures)
    loads: list[float] = field(default_factory=list)

    def begin_round(self, phase: str, number: int) -> None:
        """Say where we are, and note how busy the machine is with whatever else."""
        self.loads.append(load_average())
        print(
            f"{phase}: round {number + 1} of {self.rounds}, load average {self.loads[-1]:.1f}",
            file=sys.stderr,
            flush=True,
        )

    def seconds(self, full: float) -> float:
        """A time limit, shorter in a quick run."""
        return full / 3 if self.quick else full
