"""Who is computed next: one queue for all requests, and the threads that empty it.

`engine.waiting` says whose turn it is: each request gets a fair share, and half of all goes to
those that came first.

Room that the next request leaves in its batch is filled with others of similar length, but that of
a query not with bulk work, which would make its run longer. And while all threads compute, and one
of them for a request of several batches, an express thread takes short requests, and nothing else:
it shares the cores for a moment, and no query waits for bulk work. Requests of one batch are not
served so beside each other: three runs on two cores take 5 % longer in all.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engine.batching import BatchLimits
from engine.errors import DeadlineTooNearError, OverloadedError
from engine.jobs import Compute, Job, JobOutput, Part, run, shutting_down
from engine.line import tokens_of
from engine.throughput import Throughput
from engine.types import Encoding
from engine.waiting import Waiting

_UNKNOWN_WAIT_SECONDS = 1.0
_SURELY_LATE = 1.5
"""A request that alone would take so many times as long as it has is refused. What it takes is
known by other requests, whose batches may have been slower."""


@dataclass(frozen=True, slots=True)
class QueueState:
    """What waits and what runs, for metrics and health."""

    queued_requests: int
    queued_inputs: int
    queued_tokens: int
    running_batches: int
    tokens_per_second: float | None
    """Measured over the last batches; None before the first."""


class Scheduler(Protocol):
    """Takes the sequences of one request; the future gives their vectors.

    Cancelling the future drops what has not run yet.
    """

    def submit(
        self, encodings: Sequence[Encoding], *, deadline_seconds: float | None = None
    ) -> Future[JobOutput]:
        """Queue the sequences of one request.

        Raises:
            OverloadedError: the queue is full, or so long that by the measured throughput the
                request may not be done within `deadline_seconds`.
            DeadlineTooNearError: it would take far longer than that, even alone.
            ShuttingDownError: the scheduler was closed.
        """
        ...

    def state(self) -> QueueState:
        """What waits and what runs."""
        ...

    def close(self) -> None:
        """Stop. What still waits fails with ShuttingDownError; what runs is finished."""
        ...


class ServerScheduler:
    """Threads that compute batches from one queue.

    `concurrency` of them run at once, and where `express_tokens` is not 0 one more beside bulk
    work, for batches of at most so many tokens. `clock` tells seconds, to measure batches by.
    """

    def __init__(
        self,
        compute: Compute,
        *,
        dimensions: int,
        limits: BatchLimits,
        concurrency: int,
        max_queue_tokens: int,
        express_tokens: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._compute = compute
        self._dimensions = dimensions
        self._limits = limits
        self._max_queue_tokens = max_queue_tokens
        self._express_tokens = express_tokens
        self._concurrency = concurrency
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._express_changed = threading.Condition(self._lock)
        self._waiting = Waiting(limits)
        self._running = 0
        self._running_tokens = 0
        self._running_bulk = 0
        self._throughput = Throughput(full_tokens=limits.max_batch_tokens // 2)
        self._closed = False
        self._threads = [
            threading.Thread(
                target=self._work, args=(False,), name=f"embellama-compute-{index}", daemon=True
            )
            for index in range(concurrency)
        ]
        if express_tokens:
            self._threads.append(
                threading.Thread(
                    target=self._work, args=(True,), name="embellama-express", daemon=True
                )
            )
        for thread in self._threads:
            thread.start()

    def submit(
        self, encodings: Sequence[Encoding], *, deadline_seconds: float | None = None
    ) -> Future[JobOutput]:
        """Queue the sequences of one request; see `Scheduler.submit`."""
        job = Job.of(encodings, self._limits, self._dimensions)
        with self._lock:
            if self._closed:
                raise shutting_down()
            if deadline_seconds is not None:
                self._check_alone(job, deadline_seconds)
            hurried = self._check_load(job.waiting_tokens, deadline_seconds)
            if job.batches:
                self._waiting.add(job, hurried=hurried)
                self._changed.notify(job.unfinished)
                if self._may_express():
                    self._express_changed.notify()  # Else the last to start a run wakes it.
        if not job.unfinished:
            job.succeed()
            return job.future
        # A weak one, or the job and its future would keep each other and the vectors alive.
        reference = weakref.ref(job)
        job.future.add_done_callback(
            lambda future: self._drop(reference()) if future.cancelled() else None
        )
        return job.future

    def state(self) -> QueueState:
        """What waits and what runs."""
        with self._lock:
            return QueueState(
                queued_requests=len(self._waiting),
                queued_inputs=sum(
                    len(batch.indices) for job in self._waiting for batch in job.batches
                ),
                queued_tokens=self._waiting.tokens,
                running_batches=self._running,
                tokens_per_second=self._throughput.tokens_per_second,
            )

    def close(self) -> None:
        """Fail what waits, finish what runs, end the threads."""
        with self._lock:
            self._closed = True
            waiting = self._waiting.clear()
            self._changed.notify_all()
            self._express_changed.notify_all()
        for job in waiting:
            job.fail(shutting_down())
        for thread in self._threads:
            thread.join()

    def _check_alone(self, job: Job, deadline_seconds: float) -> None:
        """Refuse what would not even be done in time if nobody else asked. The lock is held."""
        needed = self._throughput.seconds_for(job.waiting_tokens)
        if needed is None or not self._throughput.is_of_full_batches:
            return
        if needed > _SURELY_LATE * deadline_seconds:
            raise DeadlineTooNearError(
                needed_seconds=needed,
                left_seconds=max(0.0, deadline_seconds),
                largest_batch=int(len(job.encodings) * max(0.0, deadline_seconds) / needed),
            )

    def _check_load(self, tokens: int, deadline_seconds: float | None) -> bool:
        """Refuse what does not fit, or may not be done in time. The lock is held.

        Returns:
            Whether the request is done in time only if it is hurried.
        """
        rate, waiting = self._throughput.tokens_per_second, self._waiting
        too_many = min(waiting.tokens, waiting.tokens + tokens - self._max_queue_tokens)
        if too_many > 0:
            raise OverloadedError(
                "Too much work waits already. Try again later.",
                retry_after_seconds=too_many / rate if rate else _UNKNOWN_WAIT_SECONDS,
            )
        if deadline_seconds is None or rate is None or not waiting.tokens:
            return False
        within = deadline_seconds * rate - self._running_tokens
        if waiting.is_in_time(tokens, within):
            return False
        if waiting.is_in_time_if_hurried(tokens, within):
            return True
        raise OverloadedError(
            "So much work waits that the request may not be done before its deadline. "
            "Try again later.",
            retry_after_seconds=waiting.tokens_too_many(tokens, within) / rate,
        )

    def _work(self, express: bool) -> None:
        while self._run_next(express=express):
            pass

    def _run_next(self, *, express: bool) -> bool:
        """Compute one batch; False when there will be no more.

        A method of its own, so that an idle thread does not keep the vectors of its last request.
        """
        picked = self._next(express=express)
        if picked is None:
            return False
        parts = picked.parts
        started = self._clock()
        errors = run(parts, self._compute, alone=picked.alone)
        done = self._settle(picked, errors, self._clock() - started)
        for (job, _), error in zip(parts, errors, strict=True):
            if error is not None:
                job.fail(error)
        for job in done:
            job.succeed()
        return True

    def _next(self, *, express: bool) -> _Picked | None:
        """Wait for work; take a batch that starts with the request whose turn it is."""
        with self._lock:
            while not (parts := self._take(express=express)):
                if self._closed:
                    return None
                (self._express_changed if express else self._changed).wait()
            now = time.perf_counter()
            for job, _ in parts:
                job.first_run = now if job.first_run is None else job.first_run
            picked = _Picked(
                parts,
                tokens=tokens_of(parts),
                alone=not self._running and not self._waiting,
                bulk=any(part.job.is_bulk for part in parts),
            )
            self._running += 1
            self._running_tokens += picked.tokens
            self._running_bulk += picked.bulk
            if not express and self._may_express():
                self._express_changed.notify()
            return picked

    def _most_tokens(self) -> int:
        """What the next batch may have: a thread's share of what waits, if that is little.

        Half a batch is computed almost as fast as a whole one, and no thread is left without.
        """
        most = self._limits.max_batch_tokens
        share = -(-self._waiting.tokens // self._concurrency)
        return min(most, max(most // 2, share))

    def _take(self, *, express: bool) -> list[Part]:
        """What a thread has to do now, if anything: an express one only where no other is free."""
        if express:
            may = self._may_express()
            return self._waiting.take_short(self._express_tokens) if may else []
        if not self._waiting:
            return []
        return self._waiting.take(self._most_tokens(), express_tokens=self._express_tokens)

    def _may_express(self) -> bool:
        """Whether a short request would wait for bulk work. The lock is held."""
        return self._running >= self._concurrency and self._running_bulk > 0

    def _settle(
        self, picked: _Picked, errors: Sequence[BaseException | None], seconds: float
    ) -> list[Job]:
        """Note that a batch ended; the requests of which all is computed now."""
        parts, done = picked.parts, []
        with self._lock:
            together = min(self._running, self._concurrency)
            if not any(errors):  # One that fails tells nothing of those that are computed.
                self._throughput.add(picked.tokens, seconds / together)
            self._running -= 1
            self._running_tokens -= picked.tokens
            self._running_bulk -= picked.bulk
            for (job, _), error in zip(parts, errors, strict=True):
                job.unfinished -= 1
                if error is not None:
                    job.failed = True
                    self._waiting.remove(job)
                elif job.unfinished == 0 and not job.failed:
                    done.append(job)
        return done

    def _drop(self, job: Job | None) -> None:
        if job is not None:
            with self._lock:
                self._waiting.remove(job)


class _Picked(NamedTuple):
    """A batch that a thread took."""

    parts: list[Part]
    tokens: int
    alone: bool
    """Nothing else ran or waited then."""
    bulk: bool
    """It has a part of a request with more than this batch to compute."""
