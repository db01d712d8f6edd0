"""The contract of a backend: token ids in, vectors out, one runtime each."""

from __future__ import annotations

from typing import Protocol

from engine.types import BackendOutput, Batch


class Backend(Protocol):
    """A loaded model. It neither tokenizes, nor cuts, nor normalises.

    `run` may be called from `concurrency` threads at once, not more.
    """

    @property
    def name(self) -> str:
        """Name of the runtime: `onnx`, `gguf` or `fake`."""
        ...

    @property
    def device(self) -> str:
        """Where it computes: `cpu` or `cuda`."""
        ...

    @property
    def precision(self) -> str:
        """Precision of the loaded weights, such as `fp32`."""
        ...

    @property
    def concurrency(self) -> int:
        """How many threads may call `run` at the same time."""
        ...

    @property
    def max_batch_sequences(self) -> int:
        """How many sequences one call of `run` takes at most."""
        ...

    def run(self, batch: Batch) -> BackendOutput:
        """Compute the vectors of one batch.

        Raises:
            BackendError: the runtime failed; the backend stays usable.
        """
        ...

    def close(self) -> None:
        """Free the model. Calling it twice is harmless; `run` afterwards is an error."""
        ...
