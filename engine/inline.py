"""The scheduler for AWS Lambda: computes in the thread of the caller, nothing in the background."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from engine.batching import BatchLimits
from engine.jobs import Compute, Job, JobOutput, Part, run, shutting_down
from engine.scheduler import QueueState
from engine.types import Encoding


class InlineScheduler:
    """Threads of its own would not advance between two invocations, so it has none."""

    def __init__(self, compute: Compute, *, dimensions: int, limits: BatchLimits) -> None:
        self._compute = compute
        self._dimensions = dimensions
        self._limits = limits
        self._closed = False

    def submit(
        self, encodings: Sequence[Encoding], *, deadline_seconds: float | None = None
    ) -> Future[JobOutput]:
        """Compute the sequences of one request; the future is done on return.

        What a request may cost is the platform's to say before, so the deadline has no effect:
        once it runs, nothing can stop it.
        """
        del deadline_seconds
        if self._closed:
            raise shutting_down()
        job = Job.of(encodings, self._limits, self._dimensions)
        job.first_run = job.submitted
        while job.batches:
            (error,) = run([Part(job, job.batches.pop())], self._compute, alone=True)
            if error is not None:
                job.fail(error)
                return job.future
        job.succeed()
        return job.future

    def state(self) -> QueueState:
        """Nothing ever waits."""
        return QueueState(0, 0, 0, 0, None)

    def close(self) -> None:
        """Take no more work."""
        self._closed = True
