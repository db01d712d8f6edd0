"""Requests in the order in which they came, and whether they are behind their half of what is done.

A queue that serves some other order first bounds with it how long anybody waits: when the line is
due, it serves the line.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from engine.jobs import Job, Part


class Line:
    """Requests in the order in which they came, which are to have half of what is counted."""

    def __init__(self, head_start_tokens: int) -> None:
        self.jobs: OrderedDict[Job, None] = OrderedDict()
        self.tokens = 0
        self._head_start_tokens = head_start_tokens
        self._overtaking_tokens = 0
        """Given to others before their turn, less those given in turn; never below 0. So in any
        span of time the former are at most the latter, the head start and one batch."""

    @property
    def is_due(self) -> bool:
        """Whether it is behind its half."""
        return bool(self.jobs) and self._overtaking_tokens > self._head_start_tokens

    @property
    def first(self) -> Job:
        """Who came first of those that wait."""
        return next(iter(self.jobs))

    def add(self, job: Job) -> None:
        """Let a request wait."""
        self.jobs[job] = None
        self.tokens += job.waiting_tokens

    def forget(self, job: Job, tokens: int) -> None:
        """So many tokens of a request wait no more, if it is in this line."""
        if job in self.jobs:
            self.tokens -= tokens
            if not job.batches:
                del self.jobs[job]

    def clear(self) -> None:
        """Nobody waits any more."""
        self.jobs.clear()
        self.tokens = 0

    def tokens_in_turn(self, parts: Sequence[Part]) -> int:
        """Tokens of a batch that overtake nobody.

        They are of the first request, and of the next one where the batch has all that still
        waits of the first, and so on.
        """
        taken = {job: planned.tokens for job, planned in parts}
        tokens = 0
        for job in self.jobs:
            tokens += taken.get(job, 0)
            if job not in taken or len(job.batches) > 1:
                break
        return tokens

    def count(self, parts: Sequence[Part], *, is_theirs: bool = False) -> None:
        """Note a batch that is about to be taken; `is_theirs` if of a half of somebody else."""
        if self.jobs:
            overtaking = (0 if is_theirs else tokens_of(parts)) - 2 * self.tokens_in_turn(parts)
            self._overtaking_tokens = max(0, self._overtaking_tokens + overtaking)


def tokens_of(parts: Sequence[Part]) -> int:
    """Of all requests in a batch."""
    return sum(planned.tokens for _, planned in parts)
