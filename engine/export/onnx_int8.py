"""fp32 ONNX -> ONNX whose products run on 8-bit integers. No text is needed to calibrate it.

One 8-bit number for each weight and each activation is not enough: all-MiniLM-L6-v2 then comes to
0.984 of its vectors. So the side of a product that suffers is written in two levels: its 8-bit
number, and 8 bits more of what that leaves over. A product of two levels is two products.

What a LayerNorm computes has channels far larger than the rest, but bounds that its own weights
tell: it gets two levels in a range that is a constant. All else is rounded row by row, each in
the range of its own token, and meets weights in two levels. No number of a row depends on
another row, so a vector does not depend on its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from engine.errors import ExportError
from engine.export.graph import FUSED, Graph
from engine.export.onnx_rewrite import GraphRewrite
from engine.types import FloatArray

_LARGEST = 127
_ZERO = 128
_FINER = 254.0
"""Steps of the second level in one of the first: what is left over is half a step at most."""
_TINY = 1e-6
"""Least range of a row, so that a row of zeros divides by something."""
_NORMS = {"LayerNormalization": 1, "EmbedLayerNormalization": 5}
"""Position of the scale among a norm's inputs; its bias follows."""
_GELUS = frozenset({"Gelu", "BiasGelu"})
_GELU_LEAST = 0.6
_GELU_STEPS = 198
_GELU_ZERO = 57
"""GELU is never below -0.17. From a range of 0.6 on, 57 of 255 steps below zero reach that far."""


@dataclass(frozen=True, slots=True)
class Quants:
    """A matrix as `high` x `scales` + `low` x `scales` / 254: (K, N), (N,), (K, N)."""

    high: NDArray[np.int8]
    scales: FloatArray
    low: NDArray[np.int8]

    @classmethod
    def of(cls, matrix: FloatArray) -> Quants:
        """Round each column (K,) in its own range, and what that leaves over once more."""
        scales = np.maximum(np.abs(matrix).max(axis=0) / _LARGEST, _TINY).astype(np.float32)
        high = np.rint(matrix / scales)
        low = np.rint((matrix / scales - high) * _FINER)
        return cls(high.astype(np.int8), scales, low.astype(np.int8))


@dataclass(frozen=True, slots=True)
class _Level:
    """8-bit activations by name: `values` (..., K), with the names of their scale and zero."""

    values: str
    scale: str
    zero: str


@dataclass(frozen=True, slots=True)
class _Activations:
    """One or two levels; `range` (..., 1) is what each row of the sum is to be multiplied with."""

    levels: tuple[_Level, ...]
    range: str | None


def write_int8_onnx(fp32_path: Path, path: Path) -> Path:
    """Rewrite an fp32 graph that `write_onnx` made.

    Returns:
        The file of weights, beside `path`.

    Raises:
        ExportError: the graph has no product with a constant matrix.
    """
    data_path = path.with_name(f"{path.name}_data")
    with data_path.open("wb") as data:
        rewrite = _Rewrite(fp32_path, Graph(data, data_path.name))
        rewrite.save(path)
    if not rewrite.products:
        raise ExportError("The graph has no product with a constant matrix: int8 gains nothing.")
    return data_path


class _Rewrite(GraphRewrite[Quants]):
    def __init__(self, fp32_path: Path, graph: Graph) -> None:
        super().__init__(fp32_path, graph)
        self._activations: dict[str, _Activations] = {}
        self._constants: set[str] = set()

    def encode(self, matrix: FloatArray) -> Quants:
        return Quants.of(matrix)

    def multiply(self, values: str, name: str, matrix: Quants, output: str) -> None:
        given = self._quantised(values)
        high = [
            self.graph.weight(f"{name}.high", matrix.high),
            self.graph.weight(f"{name}.scales", matrix.scales),
        ]
        if len(given.levels) > 1:
            terms = [(level, high) for level in given.levels]
        else:
            low = [
                self.graph.weight(f"{name}.low", matrix.low),
                self.graph.weight(f"{name}.finer_scales", matrix.scales / np.float32(_FINER)),
            ]
            terms = [(given.levels[0], high), (given.levels[0], low)]
        products = [
            self.graph.node(
                "MatMulIntegerToFloat",
                [level.values, weights[0], level.scale, weights[1], level.zero],
                f"{output}.term{number}",
                domain=FUSED,
            )
            for number, (level, weights) in enumerate(terms)
        ]
        if given.range is None:
            self.graph.node("Add", products, output)
        else:
            total = self.graph.node("Add", products, f"{output}.sum")
            self.graph.node("Mul", [total, given.range], output)

    def _quantised(self, values: str) -> _Activations:
        """Several products may share what they multiply."""
        if values not in self._activations:
            producer = self.producers.get(values)
            first = None if producer is None else _NORMS.get(producer.op_type)
            if producer is not None and first is not None:
                self._activations[values] = self._of_norm(values, producer, first)
            else:
                gelu = producer is not None and producer.op_type in _GELUS
                self._activations[values] = self._of_rows(values, gelu=gelu)
        return self._activations[values]

    def _of_norm(self, values: str, norm: onnx.NodeProto, first: int) -> _Activations:
        """|x| <= sqrt(D - 1) before the scale and the bias, whatever the text."""
        scale, bias = [*norm.input, ""][first : first + 2]
        bound = np.sqrt(self.read(scale).size - 1) * np.abs(self.read(scale))
        if bias:
            bound = bound + np.abs(self.read(bias))
        step = float(bound.max()) / _LARGEST
        coarse = self._level(values, values, step, _ZERO)
        back = self.graph.node(
            "DequantizeLinear", [coarse.values, coarse.scale, coarse.zero], f"{values}.rounded"
        )
        rest = self.graph.node("Sub", [values, back], f"{values}.rest")
        return _Activations((coarse, self._level(rest, rest, step / _FINER, _ZERO)), None)

    def _of_rows(self, values: str, *, gelu: bool) -> _Activations:
        """Divided by the largest of its row, each lies between -1 and 1."""
        sizes = values if gelu else self.graph.node("Abs", [values], f"{values}.abs")
        axis = self._constant("last_axis", np.array([-1], dtype=np.int64))
        largest = self.graph.node("ReduceMax", [sizes, axis], f"{values}.largest")
        floor = _GELU_LEAST if gelu else _TINY
        least = self._constant(f"least_range_{floor}", np.float32(floor))
        row = self.graph.node("Max", [largest, least], f"{values}.range")
        unit = self.graph.node("Div", [values, row], f"{values}.unit")
        steps, zero = (_GELU_STEPS, _GELU_ZERO) if gelu else (_LARGEST, _ZERO)
        return _Activations((self._level(unit, f"unit{zero}", 1 / steps, zero),), row)

    def _level(self, values: str, scale_name: str, step: float, zero: int) -> _Level:
        scale = self._constant(f"{scale_name}.step", np.float32(step))
        place = self._constant(f"zero_{zero}", np.uint8(zero))
        found = self.graph.node("QuantizeLinear", [values, scale, place], f"{values}.quants")
        return _Level(found, scale, place)

    def _constant(self, name: str, value: np.generic | NDArray[np.generic]) -> str:
        if name not in self._constants:
            self._constants.add(name)
            self.graph.weight(name, np.asarray(value))
        return name
