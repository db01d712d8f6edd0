"""The reference: a forward pass in plain numpy, straight from a GGUF file's tensors.

It shares no code with the graphs that are compared with it, and needs neither torch nor llama.cpp.
Products are float32; means, variances, sums of softmax and pooling are float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError, UnsupportedArchitectureError
from engine.export.gguf_file import GgufFile
from engine.export.reference.encoders import ENCODERS
from engine.types import FloatArray, IntArray, Pooling

_CHUNK_TOKENS = 1024
"""Tokens computed together, to bound memory; a longer sequence is a chunk of its own."""


class Reference:
    """The model of a GGUF file. Sequences are never padded."""

    def __init__(self, source: GgufFile) -> None:
        """Load all tensors as float32.

        Raises:
            UnsupportedArchitectureError: the forward pass of this architecture is not known.
        """
        if source.architecture not in ENCODERS:
            raise UnsupportedArchitectureError(
                architecture=source.architecture, supported=list(ENCODERS)
            )
        self._encoder = ENCODERS[source.architecture](source)

    def embed(
        self, sequences: Sequence[IntArray], *, pooling: Pooling, normalize: bool
    ) -> FloatArray:
        """Pooled vectors (N, D) float32, of length 1 where `normalize`.

        Raises:
            ExportError: a vector is not finite, or has no direction.
        """
        with np.errstate(all="ignore"):  # looked at below
            rows = [_pool(vectors, pooling) for vectors in self.token_vectors(sequences)]
            pooled = np.stack(rows)
            lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise ExportError(
                "The model's own weights give vectors that are not finite, or have no length: they "
                "are damaged."
            )
        if normalize:
            pooled /= lengths
        return pooled.astype(np.float32)

    def token_vectors(self, sequences: Sequence[IntArray]) -> list[FloatArray]:
        """Vectors (T, D) of the tokens of each sequence (T,)."""
        found: list[FloatArray] = []
        for chunk in _chunks(sequences):
            found.extend(self._encoder.token_vectors(chunk))
        return found


def _chunks(sequences: Sequence[IntArray]) -> Iterator[list[IntArray]]:
    """Split into runs of neighbours with at most `_CHUNK_TOKENS` tokens each."""
    chunk: list[IntArray] = []
    for ids in sequences:
        if chunk and sum(map(len, chunk)) + ids.size > _CHUNK_TOKENS:
            yield chunk
            chunk = []
        chunk.append(ids)
    if chunk:
        yield chunk


def _pool(vectors: FloatArray, pooling: Pooling) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    if pooling is Pooling.MEAN:
        mean: NDArray[np.float64] = exact.mean(axis=0)
        return mean
    pooled: NDArray[np.float64] = exact[0 if pooling is Pooling.CLS else -1]
    return pooled
