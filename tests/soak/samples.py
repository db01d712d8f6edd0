"""What the server's process holds: memory, threads, file descriptors. Linux only."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machine import memory_mb
from tests.soak.tally import Tally

INTERVAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at it; outcomes are those since the look before."""

    seconds: float
    memory_mb: float
    threads: int
    descriptors: int
    outcomes: dict[str, int]
    at_rest: bool = False
    """Nobody asks."""


class Sampler:
    """Looks once a second."""

    def __init__(self, pid: int, tally: Tally) -> None:
        self.samples: list[Sample] = []
        self.started = asyncio.get_running_loop().time()
        self._pid = pid
        self._tally = tally
        self._before = tally.outcomes.copy()

    def take(self, *, at_rest: bool = False) -> Sample:
        """Look now."""
        process = Path(f"/proc/{self._pid}")
        counts = self._tally.outcomes.copy()
        sample = Sample(
            seconds=round(asyncio.get_running_loop().time() - self.started, 2),
            memory_mb=round(memory_mb(self._pid), 1),
            threads=len(list((process / "task").iterdir())),
            descriptors=len(list((process / "fd").iterdir())),
            outcomes=dict(counts - self._before),
            at_rest=at_rest,
        )
        self._before = counts
        self.samples.append(sample)
        return sample

    async def keep_on(self) -> None:
        """Look until cancelled."""
        while True:
            self.take()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def quiet(self, seconds: float) -> Sample:
        """What it holds while nobody asks: the least of each within a time."""
        taken = []
        until = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < until:
            taken.append(self.take(at_rest=True))
            await asyncio.sleep(INTERVAL_SECONDS)
        return least(taken)


def least(samples: Sequence[Sample]) -> Sample:
    """The least of each of some looks, at the time of the first."""
    return Sample(
        seconds=samples[0].seconds,
        memory_mb=min(sample.memory_mb for sample in samples),
        threads=min(sample.threads for sample in samples),
        descriptors=min(sample.descriptors for sample in samples),
        outcomes={},
        at_rest=True,
    )


def median_memory(samples: Sequence[Sample]) -> float:
    """MB, the median of some looks."""
    return statistics.median(sample.memory_mb for sample in samples)
