"""A backend without a model, for tests and for measuring everything but the runtime."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from engine.errors import BackendError
from engine.types import BackendOutput, Batch, Encoding, FloatArray


class FakeBackend:
    """Computes a vector from the token ids alone, so equal inputs have equal vectors.

    `before_run` is called first in every run, on the thread of the caller: let it block on an
    event to hold work back, or raise to make the run fail. `batches` keeps what was run.
    """

    name = "fake"
    device = "cpu"
    precision = "fp32"
    max_batch_sequences = 2048
    preferred_batch_tokens = 4096
    max_padding = 0.1
    free_padding_tokens = 0
    express_tokens = 0

    def __init__(
        self,
        dimensions: int = 8,
        *,
        concurrency: int = 1,
        before_run: Callable[[Batch], None] | None = None,
    ) -> None:
        self.dimensions = dimensions
        self.concurrency = concurrency
        self.before_run = before_run
        self.batches: list[Batch] = []
        self.closed = False
        self._lock = threading.Lock()

    def run(self, batch: Batch) -> BackendOutput:
        """Return one vector a token: sine waves whose phase depends on id and position."""
        if self.closed:
            raise BackendError("The fake backend is closed.")
        if self.before_run is not None:
            self.before_run(batch)
        with self._lock:
            self.batches.append(batch)
        return BackendOutput(token_vectors=tuple(map(self._token_vectors, batch.encodings)))

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _token_vectors(self, encoding: Encoding) -> FloatArray:
        phase = encoding.input_ids[:, None] + 0.1 * np.arange(encoding.tokens)[:, None]
        waves = np.sin(phase * (1.0 + np.arange(self.dimensions)[None, :]))
        return np.ascontiguousarray(waves, dtype=np.float32)
