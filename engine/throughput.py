"""How fast tokens are computed, measured over the last batches."""

from __future__ import annotations

UNUSUAL = 20
"""A batch that takes so many times as long as the others tells nothing about the next one."""
_SMOOTHING = 0.9


class Throughput:
    """Tokens a second over the last batches, each weighted by its tokens. Not thread-safe.

    Once there was a batch of `full_tokens`, only such count: a small one takes several times as
    long for its tokens, and says little of how soon much work will be done.
    """

    def __init__(self, full_tokens: int = 0) -> None:
        self._full_tokens = full_tokens
        self._was_full = False
        self._tokens = 0.0
        self._seconds = 0.0

    @property
    def tokens_per_second(self) -> float | None:
        """The measured speed; None before the first batch."""
        return self._tokens / self._seconds if self._seconds else None

    @property
    def is_of_full_batches(self) -> bool:
        """Whether it says how soon much work will be done."""
        return self._was_full

    def seconds_for(self, tokens: int) -> float | None:
        """How long so many tokens would take; None before the first batch."""
        return tokens * self._seconds / self._tokens if self._tokens else None

    def add(self, tokens: int, seconds: float) -> None:
        """Note a batch.

        One that hung for minutes counts as `UNUSUAL`, or it would be remembered for dozens of
        batches, in which work would be refused that can be done. Where the very first hung, that
        is seen by the next one, and only that one counts.
        """
        if tokens < self._full_tokens:
            if self._was_full:
                return
        elif not self._was_full:
            self._was_full = True
            self._tokens = self._seconds = 0.0
        expected = self.seconds_for(tokens)
        if expected:
            if UNUSUAL * seconds < expected:
                self._tokens = self._seconds = 0.0
            else:
                seconds = min(seconds, UNUSUAL * expected)
        self._tokens = _SMOOTHING * self._tokens + tokens
        self._seconds = _SMOOTHING * self._seconds + seconds
