"""The requests that wait, whose turn it is, and whether one that comes now can be done in time.

Work is shared fairly between requests, not between inputs (weighted fair queueing, Demers,
Keshav and Shenker 1989): virtual time advances by the tokens computed divided by the number of
requests that wait, as if each got its share of every token. The request whose next batch would
end first in virtual time is served next. A single query therefore waits for the batches that run
now, not for the rest of a 2048-input request.

What is given out of turn (below) makes nobody's turn come earlier: virtual time does not count it,
or those that wait would lag behind it, and whoever comes would wait until they have caught up. Nor
does it stay behind them all (WF2Q+, Bennett and Zhang 1996), or whoever comes would overtake them.

Fair shares alone promise nothing: each request that comes later makes the others' smaller. So half
of what is computed goes to those that came first. Until a request is done, those that came later
are then given no more tokens than it and those before it, besides a head start, however many
come: how long it may wait is known when it comes. Where that is too long for a request's deadline,
it is hurried, if that is enough: of the other half, half goes to the hurried ones.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice

from engine.batching import BatchLimits
from engine.jobs import Job, Part
from engine.line import Line, tokens_of

_SCANNED_REQUESTS = 64
"""How many waiting requests are looked at to fill a batch: bounds the work under the lock."""
_HEAD_START_BATCHES = 4
"""Full batches that may overtake the oldest request before its half is enforced, so that a few
short queries that come together are not held up."""


class Waiting:
    """Requests with batches that have not run yet. Whoever calls holds the scheduler's lock."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._heap: list[Job] = []
        self._virtual_time = 0.0
        self._head_start_tokens = _HEAD_START_BATCHES * limits.max_batch_tokens
        self._all = Line(self._head_start_tokens)
        self._hurried = Line(0)

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._heap)

    @property
    def tokens(self) -> int:
        """Of all batches that wait."""
        return self._all.tokens

    def is_in_time(self, tokens: int, within: float) -> bool:
        """Whether a request of `tokens` will be taken before `within` tokens are, from now.

        Those that came before it and itself have half, besides the head start.
        """
        return self.tokens <= self._room(tokens, within)

    def is_in_time_if_hurried(self, tokens: int, within: float) -> bool:
        """The same, if it is hurried: those and itself have a quarter, besides two head starts."""
        return self._hurried.tokens <= self._hurried_room(tokens, within)

    def tokens_too_many(self, tokens: int, within: float) -> float:
        """How many have to be taken before such a request is in time, if nobody else comes."""
        found = self.tokens - max(0.0, self._room(tokens, within))
        hurried_room = self._hurried_room(tokens, within)
        return min(found, 4 * (self._hurried.tokens - hurried_room)) if hurried_room > 0 else found

    def add(self, job: Job, *, hurried: bool = False) -> None:
        """Let a request with batches wait."""
        job.virtual_finish = self._virtual_time + job.batches[-1].tokens
        heapq.heappush(self._heap, job)
        self._all.add(job)
        if hurried:
            self._hurried.add(job)

    def take(self, max_tokens: int, *, express_tokens: int = 0) -> list[Part]:
        """A batch that starts with the request whose turn it is, and is filled with others.

        Bulk work is not filled with what may be taken by `take_short(express_tokens)`: a run of
        its own is over sooner.
        """
        line = self._due_line()
        if line is None:
            return self._taken(self._fill(self._heap, max_tokens, express_tokens))
        parts = self._fill(line.jobs, max_tokens, express_tokens)
        while tokens_of(parts) > 2 * line.tokens_in_turn(parts):
            parts.pop()
        return self._taken(parts, is_due=True, is_of_all=line is self._all)

    def take_short(self, max_tokens: int) -> list[Part]:
        """A batch of requests of one batch of at most so many tokens; empty where none waits."""
        first = self._first_short(max_tokens)
        if first is None:
            return []
        others = (job for job in self._heap if job is not first)
        return self._taken(self._fill(chain((first,), others), max_tokens))

    def _taken(
        self, parts: list[Part], *, is_due: bool = False, is_of_all: bool = False
    ) -> list[Part]:
        """Count what is taken, and take it from those that wait."""
        alone = len(self) == 1
        if not is_due:
            self._virtual_time += tokens_of(parts) / len(self)
        self._hurried.count(parts, is_theirs=is_of_all)
        self._all.count(parts)
        for job, planned in parts:
            job.batches.pop()
            job.virtual_finish += job.batches[-1].tokens if job.batches else planned.tokens
            self._all.forget(job, planned.tokens)
            self._hurried.forget(job, planned.tokens)
        self._reorder(parts)
        if self._heap:
            first = self._heap[0]
            if alone:
                # All was its own just now: it is behind no more for those that were done sooner.
                first.virtual_finish += max(0.0, self._virtual_time - first.virtual_start)
            self._virtual_time = max(self._virtual_time, first.virtual_start)
        return parts

    def _first_short(self, max_tokens: int) -> Job | None:
        """Whose turn it is of those that have one batch to compute; of those looked at."""
        found = [job for job in islice(self._heap, _SCANNED_REQUESTS) if _is_short(job, max_tokens)]
        return min(found, default=None)

    def remove(self, job: Job) -> None:
        """Drop what waits of a request, if anything does."""
        if job.batches:
            self._heap.remove(job)
            heapq.heapify(self._heap)
            tokens = job.waiting_tokens
            job.batches.clear()
            self._all.forget(job, tokens)
            self._hurried.forget(job, tokens)

    def clear(self) -> list[Job]:
        """Drop all that waits; the requests."""
        dropped, self._heap = self._heap, []
        for job in dropped:
            job.batches.clear()
        self._all.clear()
        self._hurried.clear()
        return dropped

    def _room(self, tokens: int, within: float) -> float:
        return (within - self._expected_head_start(tokens)) / 2 - tokens

    def _hurried_room(self, tokens: int, within: float) -> float:
        return (within - 2 * self._expected_head_start(tokens)) / 4 - tokens

    def _expected_head_start(self, tokens: int) -> int:
        """What overtakes a request of so many tokens, in tokens of the speed measured by now.

        Where little waits, that is the speed of small batches, at which the whole head start would
        seem to take far longer than it does in the full batches of many that come later.
        """
        return min(self._head_start_tokens, self.tokens + tokens)

    def _due_line(self) -> Line | None:
        return next((line for line in (self._all, self._hurried) if line.is_due), None)

    def _fill(self, order: Iterable[Job], max_tokens: int, express_tokens: int = 0) -> list[Part]:
        """The next batch of the first, and what waits of others that may run with it.

        Bulk work does not run with a query, which would take three times as long, nor a query with
        bulk work unless it would wait for that run.
        """
        most_tokens = min(max_tokens, self._limits.max_batch_tokens)
        limits = replace(self._limits, max_batch_tokens=most_tokens)
        jobs = islice(order, _SCANNED_REQUESTS)
        first = next(jobs)
        planned = first.batches[-1]
        parts = [Part(first, planned)]
        sequences, longest, tokens = len(planned.indices), planned.longest, planned.tokens
        for job in jobs:
            if job.is_bulk and not first.is_bulk:
                continue
            if first.is_bulk and _is_short(job, express_tokens):
                continue
            other = job.batches[-1]
            joined = sequences + len(other.indices)
            most = max(longest, other.longest)
            total = tokens + other.tokens
            if limits.admit(sequences=joined, longest=most, tokens=total):
                parts.append(Part(job, other))
                sequences, longest, tokens = joined, most, total
        return parts

    def _reorder(self, parts: Sequence[Part]) -> None:
        """Make a heap again of what still waits, after `parts` were taken."""
        first = parts[0].job
        if len(parts) > 1 or first is not self._heap[0]:
            self._heap = [job for job in self._heap if job.batches]
            heapq.heapify(self._heap)
        elif first.batches:
            heapq.heapreplace(self._heap, first)
        else:
            heapq.heappop(self._heap)


def _is_short(job: Job, max_tokens: int) -> bool:
    """Whether it has one batch to compute, of at most so many tokens."""
    return not job.is_bulk and job.batches[-1].tokens <= max_tokens
