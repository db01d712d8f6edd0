from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from engine.errors import ExportError
from engine.export.graph import Graph
from engine.export.moments import second_moments
from engine.export.token_samples import TokenSample
from engine.types import FloatArray

_TABLE = np.random.default_rng(7).normal(size=(50, 16)).astype(np.float32)
_MATRIX = np.random.default_rng(8).normal(size=(16, 16)).astype(np.float32)


def _graph(path: Path, table: FloatArray) -> Path:
    """Two products one after the other, of rows of a table."""
    with path.with_name("data").open("wb") as data:
        graph = Graph(data, "data")
        rows = graph.node("Gather", [graph.weight("table", table), "input_ids"], "rows")
        inner = graph.node("MatMul", [rows, graph.weight("m", _MATRIX)], "inner")
        graph.node("MatMul", [inner, graph.weight("n", _MATRIX)], "y")
        graph.save(
            path,
            name="two",
            inputs={"input_ids": (TensorProto.INT32, ("B", "T"))},
            outputs={"y": (TensorProto.FLOAT, ("B", "T", 16))},
        )
    return path


def test_moments_are_sums_in_which_each_sequence_weighs_the_same(tmp_path: Path) -> None:
    """Whatever its length, and over several chunks; no file is left behind."""
    path = _graph(tmp_path / "graph.onnx", _TABLE)
    before = sorted(tmp_path.iterdir())
    generator = np.random.default_rng(9)
    samples = [
        TokenSample(generator.integers(0, 50, (30, 100)).astype(np.int32)),
        TokenSample(generator.integers(0, 50, (3, 2)).astype(np.int32), 2.5),
    ]
    found = second_moments(path, samples)
    expected = np.zeros((16, 16))
    for sample in samples:
        for ids in sample.ids:
            expected += sample.weight / ids.size * _TABLE[ids].T @ _TABLE[ids]
    assert list(found) == ["rows", "inner"]
    np.testing.assert_allclose(found["rows"], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found["inner"], _MATRIX.T @ expected @ _MATRIX, rtol=1e-3, atol=1e-1)
    assert before == sorted(tmp_path.iterdir())


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = _graph(tmp_path / "graph.onnx", _TABLE * np.float32(1e30))
    with pytest.raises(ExportError, match="not finite"):
        second_moments(path, [TokenSample(np.zeros((1, 4), dtype=np.int32))])
    assert not list(tmp_path.glob("*.moments"))
