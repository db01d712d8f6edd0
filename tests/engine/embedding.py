"""What a backend gives for sequences that run in batches of one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.backends.base import Backend
from engine.pooling import pool
from engine.postprocess import finish
from engine.types import Batch, Encoding, FloatArray, Pooling


def embed_in_batches(
    backend: Backend, encodings: Sequence[Encoding], pooling: Pooling, size: int
) -> FloatArray:
    """Normalised vectors (N, D), in order; each batch has `size` neighbours."""
    pooled = np.concatenate(
        [
            pool(backend.run(Batch(tuple(encodings[start : start + size]))), pooling)
            for start in range(0, len(encodings), size)
        ]
    )
    return finish(pooled, normalize=True)
