"""Pooled vectors -> the vectors that a client gets: check finite, cut dimensions, L2-normalise."""

from __future__ import annotations

import numpy as np

from engine.errors import NonFiniteError
from engine.types import FloatArray


def check_finite(vectors: FloatArray) -> None:
    """Refuse vectors (B, D) that have no direction.

    Raises:
        NonFiniteError: some are not finite, or are null; it names their indices.
    """
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = ~np.isfinite(norms) | (norms == 0)
    if bad.any():
        raise NonFiniteError(indices=np.flatnonzero(bad).tolist())


def finish(vectors: FloatArray, *, dimensions: int, normalize: bool) -> FloatArray:
    """Keep the first `dimensions` columns of (N, D), then scale each row to length 1.

    Cutting before normalising is what Matryoshka training prescribes (Kusupati et al. 2022).

    Returns:
        (N, dimensions) float32, C-contiguous.
    """
    kept = np.ascontiguousarray(vectors[:, :dimensions], dtype=np.float32)
    if not normalize and dimensions == vectors.shape[1]:
        return kept
    norms = np.linalg.norm(kept, axis=1, keepdims=True)
    return np.asarray(kept / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
