"""Pooled vectors -> the vectors that a client gets: check finite, cut dimensions, L2-normalise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import NonFiniteError
from engine.types import FloatArray


def check_finite(vectors: FloatArray) -> None:
    """Refuse vectors (B, D) that have no direction.

    Raises:
        NonFiniteError: some are not finite, or are null; it names their indices.
    """
    _checked_lengths(vectors)


def finish(vectors: FloatArray, *, dimensions: int, normalize: bool) -> FloatArray:
    """Keep the first `dimensions` columns of (N, D), then scale each row to length 1.

    Cutting before normalising is what Matryoshka training prescribes (Kusupati et al. 2022).
    Lengths are taken in float64: squares of float32 values over- and underflow.

    Returns:
        (N, dimensions) float32, C-contiguous.

    Raises:
        NonFiniteError: what is left of a vector after cutting is null.
    """
    kept = np.ascontiguousarray(vectors[:, :dimensions], dtype=np.float32)
    if not normalize and dimensions == vectors.shape[1]:
        return kept
    return np.asarray(kept / _checked_lengths(kept)[:, None], dtype=np.float32)


def _checked_lengths(vectors: FloatArray) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    bad = ~np.isfinite(lengths) | (lengths == 0)
    if bad.any():
        raise NonFiniteError(indices=np.flatnonzero(bad).tolist())
    return lengths
