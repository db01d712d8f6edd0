"""How fast this environment computes, from the batches that it has computed."""

from __future__ import annotations

import math

from engine.types import BatchReport

_SMOOTHING = 0.3
_FEWEST_TOKENS = 32
"""Smaller batches say more about overhead than about speed."""
_CAUTION = 1.3
"""Predictions are raised by this: long inputs take longer a token, and CPUs are shared."""


class Speed:
    """Tokens a second of one thread, smoothed, and what follows for a request."""

    def __init__(self, *, threads: int, max_batch_tokens: int) -> None:
        self.tokens_per_second: float | None = None
        self._threads = threads
        self._max_batch_tokens = max_batch_tokens

    def observe(self, report: BatchReport) -> None:
        """Learn from a batch."""
        if report.tokens < _FEWEST_TOKENS or report.seconds <= 0:
            return
        rate = report.tokens / report.seconds
        if self.tokens_per_second is None:
            self.tokens_per_second = rate
        else:
            self.tokens_per_second += _SMOOTHING * (rate - self.tokens_per_second)

    def throttle(self, share: float) -> None:
        """Forget the boost: at start, AWS gives more CPU than the memory size buys."""
        if self.tokens_per_second is not None:
            self.tokens_per_second *= min(1.0, share)

    def seconds(self, tokens: int) -> float:
        """How long so many tokens will take; 0 as long as nothing is known."""
        if self.tokens_per_second is None:
            return 0.0
        runs = math.ceil(tokens / self._max_batch_tokens)
        at_once = max(1, min(self._threads, runs))
        return _CAUTION * tokens / (self.tokens_per_second * at_once)
