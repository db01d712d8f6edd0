"""The contract of a backend: token ids in, vectors out, one runtime each."""

from __future__ import annotations

from typing import Protocol

from engine.types import BackendOutput, Batch


class Backend(Protocol):
    """A loaded model. It neither tokenizes, nor cuts, nor normalises.

    `run` may be called from `concurrency` threads at once, and from one more with a batch of at
    most `express_tokens`.
    """

    @property
    def name(self) -> str:
        """Name of the runtime: `onnx`, `gguf`, `openvino` or `fake`."""
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

    @property
    def preferred_batch_tokens(self) -> int:
        """How many tokens a batch should have at most, where the options don't say."""
        ...

    @property
    def max_padding(self) -> float | None:
        """Share of a batch that may be padding; None if nothing is padded. See `BatchLimits`."""
        ...

    @property
    def free_padding_tokens(self) -> int:
        """How many tokens' worth of time a run costs before it computes the first."""
        ...

    @property
    def express_tokens(self) -> int:
        """Size of a batch that may run besides the `concurrency` others; 0 if none may."""
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
