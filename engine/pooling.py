"""Token vectors of a sequence -> one vector."""

from __future__ import annotations

import numpy as np

from engine.types import BackendOutput, FloatArray, Pooling


def pool(output: BackendOutput, pooling: Pooling) -> FloatArray:
    """Pool each sequence of a backend's output, unless the runtime did.

    Mean pooling averages over all tokens, special tokens included (Reimers and Gurevych 2019,
    Sentence-BERT). Padding never gets here.

    Returns:
        (B, D) float32.
    """
    if output.pooled is not None:
        return np.asarray(output.pooled, dtype=np.float32)
    sequences = output.token_vectors or ()
    return np.stack([_pool_one(vectors, pooling) for vectors in sequences])


def _pool_one(vectors: FloatArray, pooling: Pooling) -> FloatArray:
    if pooling is Pooling.MEAN:
        return np.asarray(vectors.mean(axis=0), dtype=np.float32)
    return np.asarray(vectors[0 if pooling is Pooling.CLS else -1], dtype=np.float32)
