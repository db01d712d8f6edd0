"""What a client has used of a rate limit, and when there will be more."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MARGIN_SECONDS = 0.001
"""Added to a time at which the cost would be just a hair too much."""


@dataclass(frozen=True, slots=True)
class Window:
    """What a client has used: this minute's count, and the one before that still counts partly.

    `seconds_to_next` is when this count becomes the one before; `previous_seconds` is how much of
    the minute before lies within the last 60 seconds.
    """

    limit: int
    seconds: int
    previous: int
    previous_seconds: float
    current: int
    seconds_to_next: float

    @property
    def remaining(self) -> int:
        """How much fits now."""
        used = self.previous * self.previous_seconds / self.seconds + self.current
        return max(0, self.limit - math.floor(used))

    def seconds_until(self, cost: int) -> float:
        """When so much will fit, if nothing else is taken. `cost` is at most the limit."""
        if cost <= self.remaining:
            return 0.0
        if self.current + cost <= self.limit:
            return self._faded(self.previous, self.previous_seconds, cost + self.current)
        return self.seconds_to_next + max(0.0, self._faded(self.current, self.seconds, cost))

    def _faded(self, count: int, seconds: float, cost: int) -> float:
        """When a count has lost so much weight that the cost fits beside what is left of it."""
        return seconds - self.seconds * (self.limit - cost + 1) / count + _MARGIN_SECONDS


def duration(seconds: float) -> str:
    """A time as OpenAI's headers have it: `0s`, `120ms`, `1s`, `6m0s`; rounded up."""
    if 0 < seconds < 1:
        return f"{max(1, math.ceil(seconds * 1000))}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
