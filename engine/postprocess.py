"""Pooled vectors -> the vectors that a client gets: check finite, L2-normalise, cut dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import NonFiniteError
from engine.types import FloatArray


def finish(vectors: FloatArray, *, normalize: bool) -> FloatArray:
    """Refuse pooled vectors (B, D) that have no direction, then scale each to length 1, if wanted.

    Lengths are taken in float64: squares of float32 values over- and underflow.

    Returns:
        (B, D) float32, C-contiguous.

    Raises:
        NonFiniteError: some are not finite, or are null; it names their indices.
    """
    lengths = _checked_lengths(vectors)
    if not normalize:
        return np.ascontiguousarray(vectors, dtype=np.float32)
    return np.ascontiguousarray(vectors / lengths[:, None], dtype=np.float32)


def cut(vectors: FloatArray, *, dimensions: int) -> FloatArray:
    """Keep the first `dimensions` columns of finished vectors (N, D), with rows of length 1.

    Matryoshka training prescribes to normalise what is left (Kusupati et al. 2022). Vectors of
    which all is kept are given back as they are.

    Returns:
        (N, dimensions) float32, C-contiguous.

    Raises:
        NonFiniteError: what is left of a vector is null.
    """
    if dimensions == vectors.shape[1]:
        return vectors
    return finish(vectors[:, :dimensions], normalize=True)


def _checked_lengths(vectors: FloatArray) -> NDArray[np.float64]:
    exact = vectors.astype(np.float64)
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", exact, exact))
    bad = ~np.isfinite(lengths) | (lengths == 0)
    if bad.any():
        raise NonFiniteError(indices=np.flatnonzero(bad).tolist())
    return lengths
