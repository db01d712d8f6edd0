from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.export.rounding import Rounding
from engine.types import FloatArray

_GENERATOR = np.random.default_rng(11)


def _inputs(channels: int) -> FloatArray:
    """Rows (tokens, K) whose channels go together."""
    few = _GENERATOR.normal(size=(4 * channels, max(1, channels // 8)))
    mixed = few @ _GENERATOR.normal(size=(few.shape[1], channels))
    return (mixed + 0.1 * _GENERATOR.normal(size=mixed.shape)).astype(np.float32)


def _plain(matrix: FloatArray) -> NDArray[np.float64]:
    steps = np.abs(matrix).max(axis=0) / 127
    rounded: NDArray[np.float64] = np.rint(matrix / steps) * steps
    return rounded


@pytest.mark.parametrize("channels", [16, 128, 300])
def test_a_product_changes_less_than_by_plain_rounding(channels: int) -> None:
    """By half at least, where channels go together; also over several blocks of rows."""
    inputs = _inputs(channels)
    matrix = _GENERATOR.normal(size=(channels, 24)).astype(np.float32)
    quants = Rounding.of(inputs.T @ inputs).round(matrix)
    assert quants.values.dtype == np.int8
    assert quants.scales.dtype == np.float32
    assert np.abs(quants.values.astype(int)).max() <= 127
    exact = inputs @ matrix
    found = np.linalg.norm(inputs @ (quants.values * quants.scales) - exact)
    assert found < 0.5 * np.linalg.norm(inputs @ _plain(matrix) - exact)


def test_channels_that_do_not_go_together_are_rounded_plainly() -> None:
    matrix = _GENERATOR.normal(size=(32, 8)).astype(np.float32)
    quants = Rounding.of(np.diag(np.arange(1, 33)).astype(np.float32)).round(matrix)
    np.testing.assert_allclose(quants.values * quants.scales, _plain(matrix), atol=1e-6)


def test_rows_and_columns_of_zeros_stay_so() -> None:
    """As of channels that are left out: their inputs count nothing, and take no error over."""
    inputs = _inputs(64)
    inputs[:, [0, 9, 63]] = 0
    matrix = _GENERATOR.normal(size=(64, 8)).astype(np.float32)
    matrix[[0, 9, 63]] = 0
    matrix[:, 5] = 0
    quants = Rounding.of(inputs.T @ inputs).round(matrix)
    assert not quants.values[[0, 9, 63]].any()
    assert not quants.values[:, 5].any()
    assert np.isfinite(quants.scales).all()


def test_inputs_that_are_all_zero_leave_plain_rounding() -> None:
    matrix = _GENERATOR.normal(size=(16, 8)).astype(np.float32)
    quants = Rounding.of(np.zeros((16, 16), dtype=np.float32)).round(matrix)
    np.testing.assert_allclose(quants.values * quants.scales, _plain(matrix), atol=1e-6)
