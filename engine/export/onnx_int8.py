"""fp32 ONNX -> ONNX whose products run on 8-bit integers. No text is needed to calibrate it.

A few channels of what a product is given are far larger than the rest: those stay float32, in a
small product of their own that is added. All else is one 8-bit number a weight, rounded so that
the product changes least (`engine.export.rounding`), and one an activation, row by row, in the
range of its own token. No number of a row depends on another row, so a vector does not depend on
its batch. Which channels are large is seen on sequences made of the vocabulary
(`engine.export.token_samples`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError
from engine.export.graph import FUSED, Graph
from engine.export.onnx_rewrite import GraphRewrite
from engine.export.rounding import LARGEST, Rounding
from engine.types import FloatArray

_ZERO = 128
_TINY = 1e-6
"""Least range of a row, so that a row of zeros divides by something."""
_GELUS = frozenset({"Gelu", "BiasGelu"})
_GELU_LEAST = 0.6
_GELU_STEPS = 198
_GELU_ZERO = 57
"""GELU is never below -0.17. From a range of 0.6 on, 57 of 255 steps below zero reach that far."""
_OUTLYING = 3.0
"""A channel stays float32 if its root mean square is over so many times the median of all."""
_MOST_OUTLIERS = 8
"""At most one channel in so many."""


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What a product is given: 8-bit `values` (..., K) by name, with their step and zero.

    `range` (..., 1) is what each row of their product is to be multiplied with; `exact` (..., n)
    are the channels at `outliers` (n,) in float32, None where n is 0.
    """

    values: str
    step: str
    zero: str
    range: str
    exact: str | None
    outliers: NDArray[np.intp]
    rounding: Rounding


def write_int8_onnx(fp32_path: Path, path: Path, moments: Mapping[str, FloatArray]) -> Path:
    """Rewrite an fp32 graph that `write_onnx` made.

    Args:
        fp32_path: the graph.
        path: where the new one goes.
        moments: X^T X (K, K) of what each product is given; see `second_moments`.

    Returns:
        The file of weights, beside `path`.

    Raises:
        ExportError: the graph has no product with a constant matrix.
    """
    data_path = path.with_name(f"{path.name}_data")
    with data_path.open("wb") as data:
        rewrite = _Rewrite(fp32_path, Graph(data, data_path.name), moments)
        rewrite.save(path)
    if not rewrite.products:
        raise ExportError("The graph has no product with a constant matrix: int8 gains nothing.")
    return data_path


class _Rewrite(GraphRewrite[FloatArray]):
    def __init__(self, fp32_path: Path, graph: Graph, moments: Mapping[str, FloatArray]) -> None:
        super().__init__(fp32_path, graph)
        self._moments = moments
        self._given: dict[str, _Given] = {}
        self._constants: set[str] = set()

    def encode(self, matrix: FloatArray) -> FloatArray:
        return matrix

    def multiply(self, values: str, name: str, matrix: FloatArray, output: str) -> None:
        given = self._quantised(values)
        small = matrix.copy()
        small[given.outliers] = 0  # so what their 8-bit numbers are does not matter
        quants = given.rounding.round(small)
        weights = [
            self.graph.weight(f"{name}.quants", quants.values),
            self.graph.weight(f"{name}.scales", quants.scales),
        ]
        product = self.graph.node(
            "MatMulIntegerToFloat",
            [given.values, weights[0], given.step, weights[1], given.zero],
            f"{output}.of_unit",
            domain=FUSED,
        )
        if given.exact is None:
            self.graph.node("Mul", [product, given.range], output)
            return
        scaled = self.graph.node("Mul", [product, given.range], f"{output}.of_small")
        rows = self.graph.weight(f"{name}.exact", matrix[given.outliers])
        exact = self.graph.node("MatMul", [given.exact, rows], f"{output}.of_large")
        self.graph.node("Add", [scaled, exact], output)

    def _quantised(self, values: str) -> _Given:
        """Several products may share what they multiply."""
        if values not in self._given:
            self._given[values] = self._quantise(values)
        return self._given[values]

    def _quantise(self, values: str) -> _Given:
        moments = self._moments[values].copy()
        outliers = outlying_channels(np.diag(moments))
        exact, small = None, values
        if outliers.size:
            moments[outliers] = 0
            moments[:, outliers] = 0
            mask = np.ones(len(moments), dtype=np.float32)
            mask[outliers] = 0
            small = self.graph.node(
                "Mul", [values, self.graph.weight(f"{values}.is_small", mask)], f"{values}.small"
            )
            large = self.graph.weight(f"{values}.which_large", outliers.astype(np.int64))
            exact = self.graph.node(
                "Gather", [values, large], f"{values}.large", attributes={"axis": -1}
            )
        producer = self.producers.get(values)
        gelu = producer is not None and producer.op_type in _GELUS
        sizes = small if gelu else self.graph.node("Abs", [small], f"{values}.sizes")
        axis = self._constant("row", np.array([-1], dtype=np.int64))
        largest = self.graph.node("ReduceMax", [sizes, axis], f"{values}.largest")
        floor = _GELU_LEAST if gelu else _TINY
        least = self._constant(f"least_range_{floor}", np.float32(floor))
        row = self.graph.node("Max", [largest, least], f"{values}.range")
        unit = self.graph.node("Div", [small, row], f"{values}.unit")
        steps, zero = (_GELU_STEPS, _GELU_ZERO) if gelu else (LARGEST, _ZERO)
        step = self._constant(f"step_{steps}", np.float32(1 / steps))
        place = self._constant(f"zero_{zero}", np.uint8(zero))
        quants = self.graph.node("QuantizeLinear", [unit, step, place], f"{values}.quants")
        return _Given(quants, step, place, row, exact, outliers, Rounding.of(moments))

    def _constant(self, name: str, value: np.generic | NDArray[np.generic]) -> str:
        """A constant of this scheme; its name is none of the old graph's."""
        name = f"int8.{name}"
        if name not in self._constants:
            self._constants.add(name)
            self.graph.weight(name, np.asarray(value))
        return name


def outlying_channels(squares: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices (n,) of the channels that are far larger than most, by their sums of squares (K,).

    Channels that are always zero are no measure for the others.
    """
    sizes = np.sqrt(np.maximum(squares, 0))
    live = sizes[sizes > 0]
    if not live.size:
        return np.zeros(0, dtype=np.intp)
    found = np.flatnonzero(sizes > _OUTLYING * np.median(live))
    largest = found[np.argsort(-sizes[found], kind="stable")][: len(sizes) // _MOST_OUTLIERS]
    return np.sort(largest)
