"""Runs batches on a backend: pools, finishes, counts failures, notices hangs, tells who watches.

Only what is the backend's fault counts. A failed run is followed by one of a single token: if
that succeeds, the backend works, and its input is the fault of who sent it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.backends.base import Backend
from engine.batching import BatchLimits
from engine.breaker import BreakerState, CircuitBreaker
from engine.config import EngineConfig
from engine.errors import BackendError, NotReadyError
from engine.inline import InlineScheduler
from engine.model import Manifest
from engine.pooling import pool
from engine.postprocess import finish
from engine.run_watch import RunWatch
from engine.scheduler import Scheduler, ServerScheduler
from engine.types import Batch, BatchReport, Encoding, FloatArray
from engine.weights_watch import WeightsWatch


class Runner:
    """What a scheduler calls to compute a batch. Thread-safe as far as the backend is.

    `probe` is a short sequence that any backend which works can compute.
    """

    def __init__(
        self,
        backend: Backend,
        manifest: Manifest,
        config: EngineConfig,
        probe: Encoding,
        weights: WeightsWatch | None = None,
    ) -> None:
        self._backend = backend
        self._manifest = manifest
        self._probe = Batch((probe,))
        self._weights = weights
        self._breaker = CircuitBreaker(
            failures=config.breaker_failures, pause_seconds=config.breaker_pause_seconds
        )
        self._runs = RunWatch(limit_seconds=config.hung_run_seconds, capacity=backend.concurrency)
        self._observers: tuple[Callable[[BatchReport], None], ...] = ()

    def subscribe(self, observe: Callable[[BatchReport], None]) -> None:
        """Call this after every batch, too; see `Engine.subscribe`."""
        self._observers += (observe,)

    @property
    def breaker_state(self) -> BreakerState:
        """Whether the backend is used now."""
        return self._breaker.state

    @property
    def hung_runs(self) -> int:
        """How many runs take longer than they may."""
        return self._runs.hung

    @property
    def is_lost(self) -> bool:
        """Whether all runs have hung for so long that only a new process helps."""
        return self._runs.is_lost

    def obstacle(self) -> NotReadyError | None:
        """Why the backend is not sound, if so: a run hangs, or it failed several times in a row."""
        return self._runs.obstacle() or self._breaker.obstacle()

    def check_available(self) -> None:
        """Return if the backend may be used.

        Raises:
            NotReadyError: it failed several times in a row, or nothing of it is left that would
                compute.
        """
        self._breaker.check()
        self._runs.check()

    def compute(self, batch: Batch) -> FloatArray:
        """Run one batch: its finished vectors (B, D).

        Raises:
            BackendError: the runtime failed, or gave a vector without a direction, or its weights
                were changed.
            NotReadyError: it failed so often that it is given a pause.
        """
        found = self._breaker.call(lambda: self._run_or_blame(batch))
        if isinstance(found, BackendError):
            raise found
        return found

    def make_scheduler(self, config: EngineConfig, *, inline: bool) -> Scheduler:
        """The scheduler that suits the backend."""
        backend = self._backend
        limits = BatchLimits(
            max_batch_tokens=config.max_batch_tokens or backend.preferred_batch_tokens,
            max_batch_sequences=backend.max_batch_sequences,
            max_padding=backend.max_padding,
            free_padding_tokens=backend.free_padding_tokens,
        )
        dimensions = self._manifest.dimensions
        if inline:
            return InlineScheduler(self.compute, dimensions=dimensions, limits=limits)
        return ServerScheduler(
            self.compute,
            dimensions=dimensions,
            limits=limits,
            concurrency=backend.concurrency,
            max_queue_tokens=config.max_queue_tokens,
            express_tokens=backend.express_tokens,
        )

    def _run_or_blame(self, batch: Batch) -> FloatArray | BackendError:
        """The vectors, or the error where it is the batch that can't be computed.

        Raises:
            BackendError: nothing can be computed.
        """
        try:
            return self._run(batch)
        except BackendError as exc:
            try:
                self._vectors(self._probe)
            except BackendError:
                raise exc from exc.__cause__
            return exc

    def _vectors(self, batch: Batch) -> FloatArray:
        with self._runs.watch(batch.tokens):
            output = self._backend.run(batch)
        pooled = pool(output, self._manifest.pooling)
        vectors = finish(pooled, normalize=self._manifest.normalize)
        if self._weights is not None:
            self._weights.check()  # Afterwards: else they could change in between.
        return vectors

    def _run(self, batch: Batch) -> FloatArray:
        started = time.perf_counter()
        try:
            return self._vectors(batch)
        finally:
            seconds = time.perf_counter() - started
            report = BatchReport(len(batch.encodings), batch.tokens, seconds)
            for observe in self._observers:
                observe(report)
