"""Functions of single numbers, which numpy lacks."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from engine.types import FloatArray

_ERF_LIMIT = 5
"""erf is 1 in float32 from here on."""
_ERF_STEPS = 4096


def gelu(values: FloatArray) -> FloatArray:
    """The exact GELU, x * (1 + erf(x / sqrt 2)) / 2 (Hendrycks and Gimpel 2016)."""
    scaled = values * np.float32(math.sqrt(0.5))
    result: FloatArray = np.float32(0.5) * values * (np.float32(1.0) + erf(scaled))
    return result


def silu(values: FloatArray) -> FloatArray:
    """SiLU, x / (1 + exp(-x)) (Hendrycks and Gimpel 2016)."""
    exact = values.astype(np.float64)
    result: FloatArray = (exact * 0.5 * (1.0 + np.tanh(0.5 * exact))).astype(np.float32)
    return result


def erf(values: FloatArray) -> FloatArray:
    """The error function to about 1e-7: a table, and a Taylor step of second order from it."""
    table, slopes = _erf_table()
    clipped = np.clip(values, -_ERF_LIMIT, _ERF_LIMIT)
    nearest = np.rint(clipped * np.float32(_ERF_STEPS))
    start = nearest / np.float32(_ERF_STEPS)
    step = clipped - start
    index = np.nan_to_num(nearest, nan=0.0).astype(np.int32) + _ERF_LIMIT * _ERF_STEPS
    result: FloatArray = table[index] + slopes[index] * step * (np.float32(1.0) - start * step)
    return result


@cache
def _erf_table() -> tuple[FloatArray, FloatArray]:
    """The error function and its derivative 2 / sqrt(pi) * exp(-x^2) at each step."""
    points = np.arange(-_ERF_LIMIT * _ERF_STEPS, _ERF_LIMIT * _ERF_STEPS + 1) / _ERF_STEPS
    values = np.array([math.erf(point) for point in points.tolist()])
    slopes = 2.0 / math.sqrt(math.pi) * np.exp(-(points**2))
    return values.astype(np.float32), slopes.astype(np.float32)
