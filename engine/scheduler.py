"""Who is computed next: a queue shared by all requests, and an inline one for Lambda.

Work is shared fairly between requests, not between inputs (weighted fair queueing, Demers,
Keshav and Shenker 1989): virtual time advances by the tokens computed divided by the number of
requests that wait, as if each got its share of every token. The request whose next batch would
end first in virtual time is served next. A single query therefore waits for the batches that run
now, not for the rest of a 2048-input request; and as virtual time always advances, a large
request gets its share under any stream of small ones.
"""

from __future__ import annotations

import heapq
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from engine.batching import plan_batches
from engine.errors import BackendError, OverloadedError, ShuttingDownError
from engine.types import Batch, Encoding, FloatArray

Compute = Callable[[Batch], FloatArray]
"""Computes a batch: pooled, checked vectors (B, D). Called from the scheduler's threads."""

_INITIAL_TOKENS_PER_SECOND = 4000.0
_RATE_SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold; see `engine.batching.plan_batches`."""

    max_batch_tokens: int
    max_batch_sequences: int
    max_padding: float

    def plan(self, encodings: Sequence[Encoding]) -> list[list[int]]:
        """Batches of indices into `encodings`, longest sequences first."""
        return plan_batches(
            [encoding.tokens for encoding in encodings],
            max_batch_tokens=self.max_batch_tokens,
            max_batch_sequences=self.max_batch_sequences,
            max_padding=self.max_padding,
        )


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits and what runs, for metrics and health."""

    queued_requests: int
    queued_inputs: int
    queued_tokens: int
    running_batches: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True, eq=False)
class JobOutput:
    """Vectors (N, D) of one request's sequences, in their order, and where its time went.

    `queue_seconds` is the time until its first batch ran, `inference_seconds` the time since.
    """

    vectors: FloatArray
    queue_seconds: float
    inference_seconds: float


class Scheduler(Protocol):
    """Takes the sequences of one request; the future gives their vectors.

    Cancelling the future drops what has not run yet.
    """

    def submit(self, encodings: Sequence[Encoding]) -> Future[JobOutput]:
        """Queue the sequences of one request.

        Raises:
            OverloadedError: the queue is full.
            ShuttingDownError: the scheduler was closed.
        """
        ...

    def state(self) -> QueueState:
        """What waits and what runs."""
        ...

    def close(self) -> None:
        """Stop. What still waits fails with ShuttingDownError; what runs is finished."""
        ...


class _Planned(NamedTuple):
    """A batch that has not run yet: which sequences of its request, and how many tokens."""

    indices: list[int]
    tokens: int


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Job:
    """One request. `batches` are those that have not run yet, the next one last.

    It waits as long as it has any. `virtual_finish` is when the next one would end.
    """

    encodings: Sequence[Encoding]
    batches: list[_Planned]
    vectors: FloatArray
    unfinished: int
    virtual_finish: float = 0.0
    failed: bool = False
    submitted: float = field(default_factory=time.perf_counter)
    first_run: float | None = None
    future: Future[JobOutput] = field(default_factory=Future)

    def __lt__(self, other: _Job) -> bool:
        mine = (self.virtual_finish, self.submitted)
        return mine < (other.virtual_finish, other.submitted)

    @classmethod
    def of(cls, encodings: Sequence[Encoding], limits: BatchLimits, dimensions: int) -> _Job:
        batches = [
            _Planned(indices, sum(encodings[index].tokens for index in indices))
            for indices in limits.plan(encodings)
        ]
        batches.reverse()
        return cls(
            encodings=encodings,
            batches=batches,
            vectors=np.empty((len(encodings), dimensions), dtype=np.float32),
            unfinished=len(batches),
        )

    @property
    def waiting_tokens(self) -> int:
        return sum(batch.tokens for batch in self.batches)

    def run(self, planned: _Planned, compute: Compute) -> None:
        """Compute one batch and keep its vectors."""
        vectors = compute(Batch(tuple(self.encodings[index] for index in planned.indices)))
        wanted = (len(planned.indices), self.vectors.shape[1])
        if vectors.shape != wanted:  # numpy would broadcast some of them
            raise BackendError(f"The vectors have the shape {vectors.shape}, not {wanted}.")
        self.vectors[planned.indices] = vectors


class ServerScheduler:
    """Threads that compute batches from one queue; `concurrency` of them run at once."""

    def __init__(
        self,
        compute: Compute,
        *,
        dimensions: int,
        limits: BatchLimits,
        concurrency: int,
        max_queue_tokens: int,
    ) -> None:
        self._compute = compute
        self._dimensions = dimensions
        self._limits = limits
        self._max_queue_tokens = max_queue_tokens
        self._changed = threading.Condition()
        self._waiting: list[_Job] = []  # a heap
        self._virtual_time = 0.0
        self._queued_tokens = 0
        self._running = 0
        self._concurrency = concurrency
        self._rate = _INITIAL_TOKENS_PER_SECOND
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"embellama-compute-{index}", daemon=True)
            for index in range(concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, encodings: Sequence[Encoding]) -> Future[JobOutput]:
        """Queue the sequences of one request; see `Scheduler.submit`."""
        job = _Job.of(encodings, self._limits, self._dimensions)
        tokens = job.waiting_tokens
        with self._changed:
            if self._closed:
                raise _shutting_down()
            if self._queued_tokens and self._queued_tokens + tokens > self._max_queue_tokens:
                raise OverloadedError(
                    f"The queue holds {self._queued_tokens} tokens and takes at most "
                    f"{self._max_queue_tokens}. Try again later.",
                    retry_after_seconds=self._queued_tokens / self._rate,
                )
            if job.batches:
                job.virtual_finish = self._virtual_time + job.batches[-1].tokens
                heapq.heappush(self._waiting, job)
                self._queued_tokens += tokens
                self._changed.notify(job.unfinished)
        if not job.unfinished:
            _succeed(job)
            return job.future
        # A weak one, or the job and its future would keep each other and the vectors alive.
        reference = weakref.ref(job)
        job.future.add_done_callback(
            lambda future: self._drop(reference()) if future.cancelled() else None
        )
        return job.future

    def state(self) -> QueueState:
        """What waits and what runs."""
        with self._changed:
            return QueueState(
                queued_requests=len(self._waiting),
                queued_inputs=sum(
                    len(batch.indices) for job in self._waiting for batch in job.batches
                ),
                queued_tokens=self._queued_tokens,
                running_batches=self._running,
                tokens_per_second=self._rate,
            )

    def close(self) -> None:
        """Fail what waits, finish what runs, end the threads."""
        with self._changed:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            self._queued_tokens = 0
            for job in waiting:
                job.batches.clear()
            self._changed.notify_all()
        for job in waiting:
            _fail(job, _shutting_down())
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Compute one batch; False when there will be no more.

        A method of its own, so that an idle thread does not keep the vectors of its last request.
        """
        picked = self._next()
        if picked is None:
            return False
        job, planned = picked
        started = time.perf_counter()
        try:
            job.run(planned, self._compute)
        except Exception as exc:  # noqa: BLE001 - a failed batch must not end the thread
            self._settle(job, planned, started, failed=True)
            _fail(job, exc)
        else:
            if self._settle(job, planned, started, failed=False):
                _succeed(job)
        return True

    def _next(self) -> tuple[_Job, _Planned] | None:
        """Wait for work; take one batch of the request whose turn it is."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            job = self._waiting[0]
            planned = job.batches.pop()
            self._virtual_time += planned.tokens / len(self._waiting)
            self._queued_tokens -= planned.tokens
            if job.batches:
                job.virtual_finish += job.batches[-1].tokens
                heapq.heapreplace(self._waiting, job)
            else:
                heapq.heappop(self._waiting)
            if job.first_run is None:
                job.first_run = time.perf_counter()
            self._running += 1
            return job, planned

    def _settle(self, job: _Job, planned: _Planned, started: float, *, failed: bool) -> bool:
        """Note that a batch ended; True if all of its job were computed."""
        seconds = max(time.perf_counter() - started, 1e-9)
        with self._changed:
            self._running -= 1
            rate = self._concurrency * planned.tokens / seconds
            self._rate += _RATE_SMOOTHING * (rate - self._rate)
            job.unfinished -= 1
            if failed:
                job.failed = True
                self._forget(job)
            return job.unfinished == 0 and not job.failed

    def _drop(self, job: _Job | None) -> None:
        if job is not None:
            with self._changed:
                self._forget(job)

    def _forget(self, job: _Job) -> None:
        """Take the rest of a job out of the queue. The lock is held."""
        if job.batches:
            self._waiting.remove(job)
            heapq.heapify(self._waiting)
            self._queued_tokens -= job.waiting_tokens
            job.batches.clear()


class InlineScheduler:
    """Computes in the thread of the caller, at once: no threads, nothing in the background."""

    def __init__(self, compute: Compute, *, dimensions: int, limits: BatchLimits) -> None:
        self._compute = compute
        self._dimensions = dimensions
        self._limits = limits
        self._closed = False

    def submit(self, encodings: Sequence[Encoding]) -> Future[JobOutput]:
        """Compute the sequences of one request; the future is done on return."""
        if self._closed:
            raise _shutting_down()
        job = _Job.of(encodings, self._limits, self._dimensions)
        job.first_run = job.submitted
        try:
            while job.batches:
                job.run(job.batches.pop(), self._compute)
        except Exception as exc:  # noqa: BLE001 - the future carries whatever went wrong
            _fail(job, exc)
        else:
            _succeed(job)
        return job.future

    def state(self) -> QueueState:
        """Nothing ever waits."""
        return QueueState(0, 0, 0, 0, 0.0)

    def close(self) -> None:
        """Take no more work."""
        self._closed = True


def _succeed(job: _Job) -> None:
    now = time.perf_counter()
    first_run = now if job.first_run is None else job.first_run
    output = JobOutput(job.vectors, first_run - job.submitted, now - first_run)
    with suppress(InvalidStateError):  # cancelled meanwhile, or failed by another batch
        job.future.set_result(output)


def _fail(job: _Job, error: BaseException) -> None:
    with suppress(InvalidStateError):  # cancelled meanwhile, or failed by another batch
        job.future.set_exception(error)


def _shutting_down() -> ShuttingDownError:
    return ShuttingDownError("The server is shutting down.", retry_after_seconds=1.0)
