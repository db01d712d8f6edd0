"""One request in a scheduler: its sequences, the batches they were grouped into, its vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from engine.batching import BatchLimits, plan_batches
from engine.errors import BackendError, EmbellamaError, FailedInputError, ShuttingDownError
from engine.types import Batch, Encoding, FloatArray

Compute = Callable[[Batch], FloatArray]
"""Computes a batch: finished vectors (B, D). Called from the scheduler's threads."""


@dataclass(frozen=True, slots=True, eq=False)
class JobOutput:
    """Vectors (N, D) of one request's sequences, in their order, and where its time went.

    `queue_seconds` is the time until its first batch ran, `inference_seconds` the time since.
    """

    vectors: FloatArray
    queue_seconds: float
    inference_seconds: float


class Planned(NamedTuple):
    """Sequences of one request that run together: their indices, and sizes to batch by."""

    indices: list[int]
    tokens: int
    longest: int


@dataclass(slots=True, eq=False, weakref_slot=True)
class Job:
    """One request. `batches` are those that have not run yet, the next one last.

    It waits as long as it has any. `virtual_finish` is when the next one would end.
    """

    encodings: Sequence[Encoding]
    batches: list[Planned]
    vectors: FloatArray
    unfinished: int
    virtual_finish: float = 0.0
    failed: bool = False
    submitted: float = field(default_factory=time.perf_counter)
    first_run: float | None = None
    future: Future[JobOutput] = field(default_factory=Future)

    def __lt__(self, other: Job) -> bool:
        mine = (self.virtual_finish, self.submitted)
        return mine < (other.virtual_finish, other.submitted)

    @classmethod
    def of(cls, encodings: Sequence[Encoding], limits: BatchLimits, dimensions: int) -> Job:
        """Group the sequences of a request into batches."""
        lengths = [encoding.tokens for encoding in encodings]
        batches = [
            Planned(indices, sum(lengths[index] for index in indices), lengths[indices[0]])
            for indices in plan_batches(lengths, limits)
        ]
        batches.reverse()
        return cls(
            encodings=encodings,
            batches=batches,
            vectors=np.empty((len(encodings), dimensions), dtype=np.float32),
            unfinished=len(batches),
        )

    @property
    def virtual_start(self) -> float:
        """When its next batch would begin."""
        return self.virtual_finish - self.batches[-1].tokens

    @property
    def is_bulk(self) -> bool:
        """Whether more than one batch of it is left to be computed."""
        return self.unfinished > 1

    @property
    def waiting_tokens(self) -> int:
        """Tokens of the batches that have not run yet."""
        return sum(batch.tokens for batch in self.batches)

    def succeed(self) -> None:
        """Hand over the vectors, unless the request was cancelled or failed meanwhile."""
        now = time.perf_counter()
        first_run = now if self.first_run is None else self.first_run
        output = JobOutput(self.vectors, first_run - self.submitted, now - first_run)
        with suppress(InvalidStateError):
            self.future.set_result(output)

    def fail(self, error: BaseException) -> None:
        """Hand over the error, unless the request was cancelled or failed meanwhile."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class Part(NamedTuple):
    """What one request has in a batch."""

    job: Job
    planned: Planned


def run(parts: Sequence[Part], compute: Compute, *, alone: bool) -> list[BaseException | None]:
    """Compute one batch made of parts of several requests; keep the vectors.

    A batch that fails is split, by request and then by sequence, so that a sequence that can't be
    computed fails its own request only, and is named by its index there. `alone` says that
    nothing else runs or waits.

    Returns:
        What went wrong, for each part; None where its vectors are in its job.
    """
    try:
        _run_together(parts, compute, alone=alone)
    except Exception as exc:  # noqa: BLE001 - handed over; a failed batch must not end a thread
        if not isinstance(exc, BackendError):
            return [exc] * len(parts)
        if len(parts) > 1:
            return [error for part in parts for error in run([part], compute, alone=False)]
        return [_run_alone(parts[0], compute, exc)]
    return [None] * len(parts)


def shutting_down() -> ShuttingDownError:
    """The error of work that comes, or still waits, when a scheduler is closed."""
    return ShuttingDownError("The server is shutting down.", retry_after_seconds=1.0)


def _run_together(parts: Sequence[Part], compute: Compute, *, alone: bool = False) -> None:
    encodings = [part.job.encodings[index] for part in parts for index in part.planned.indices]
    vectors = compute(Batch(tuple(encodings), alone=alone))
    wanted = (len(encodings), parts[0].job.vectors.shape[1])
    if vectors.shape != wanted:  # numpy would broadcast some of them
        raise BackendError(f"The vectors have the shape {vectors.shape}, not {wanted}.")
    start = 0
    for job, planned in parts:
        end = start + len(planned.indices)
        job.vectors[planned.indices] = vectors[start:end]
        start = end


def _run_alone(part: Part, compute: Compute, error: BackendError) -> BaseException | None:
    """Compute each sequence of a failed part for itself; the first failure, or None."""
    job, planned = part
    if len(planned.indices) == 1:
        return FailedInputError(index=planned.indices[0], cause=error)
    for index in planned.indices:
        tokens = job.encodings[index].tokens
        alone = Part(job, Planned([index], tokens, tokens))
        try:
            _run_together([alone], compute)
        except BackendError as exc:
            return FailedInputError(index=index, cause=exc)
        except EmbellamaError as exc:
            return exc
    return None
