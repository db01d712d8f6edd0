"""An exported fp32 graph -> the same graph with other products: one pass over its nodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from engine.export.graph import FUSED, Graph
from engine.types import FloatArray

_PRODUCTS = frozenset({"MatMul", "Attention"})
Encoded = TypeVar("Encoded")
"""A matrix in the form in which the new products take it."""


class GraphRewrite(ABC, Generic[Encoded]):
    """Replaces products with constant matrices, whatever the architecture.

    The fused Attention becomes three products and MultiHeadAttention. Weights that no node uses
    any more are left out.
    """

    def __init__(self, fp32_path: Path, graph: Graph) -> None:
        """Read the graph at `fp32_path`; new nodes and weights go to `graph`."""
        self.graph = graph
        self.products = 0
        """Products that were replaced."""
        self.producers: dict[str, onnx.NodeProto] = {}
        """The nodes of the old graph, by what they compute."""
        self._model = onnx.load(fp32_path, load_external_data=False)
        self._directory = fp32_path.parent
        self._weights = {weight.name: weight for weight in self._model.graph.initializer}
        self._added: set[str] = set()
        self.rewriters: dict[str, Callable[[onnx.NodeProto], bool]] = {
            "MatMul": self._product,
            "Attention": self._attention,
        }
        """What to do with a node of a type; False where it is to stay as it is."""

    @abstractmethod
    def encode(self, matrix: FloatArray) -> Encoded | None:
        """The matrix (K, N) for the new product, or None if the old one is to stay."""

    @abstractmethod
    def multiply(self, values: str, name: str, matrix: Encoded, output: str) -> None:
        """Add nodes of values (..., K) x matrix; its new weights are called `name`.*."""

    def save(self, path: Path) -> None:
        """Rewrite all nodes and write the graph.

        It does not say that sequences may share a row. They could, but rounded activations turn
        the last bits, which depend on a token's neighbours, into differences of 6e-6.
        """
        for node in self._model.graph.node:
            self.producers.update(dict.fromkeys(node.output, node))
            rewriter = self.rewriters.get(node.op_type)
            if rewriter is None or not rewriter(node):
                self._keep(node)
        old = self._model.graph
        self.graph.save(
            path,
            name=old.name,
            inputs=_infos(old.input),
            outputs=_infos(old.output),
        )

    def use(self, name: str) -> None:
        """Keep a weight of the old graph, if it is one."""
        if name in self._weights and name not in self._added:
            self._added.add(name)
            self.graph.weight(name, self.read(name))

    def read(self, name: str) -> NDArray[np.generic]:
        """A weight of the old graph."""
        values: NDArray[np.generic] = numpy_helper.to_array(
            self._weights[name], base_dir=str(self._directory)
        )
        return values

    def matrix(self, name: str) -> FloatArray | None:
        """A weight of the old graph, if it is a matrix in float32."""
        if name not in self._weights or not _is_matrix(self._weights[name]):
            return None
        return self.read(name).astype(np.float32, copy=False)

    def _product(self, node: onnx.NodeProto) -> bool:
        values, weight = node.input
        matrix = self.matrix(weight)
        encoded = None if matrix is None else self.encode(matrix)
        if encoded is None:
            return False
        self.products += 1
        self.multiply(values, weight, encoded, node.output[0])
        return True

    def _attention(self, node: onnx.NodeProto) -> bool:
        hidden, weight, bias, mask, past, distances = [*node.input, *[""] * 4][:6]
        matrix = self.matrix(weight)
        if matrix is None or past or any(node.input[6:]) or not bias:
            return False
        found = [self.encode(part) for part in np.split(matrix, 3, axis=1)]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found):
            return False
        names = [f"{node.output[0]}.{part}" for part in ("query", "key", "value")]
        self.products += len(parts)
        for name, part in zip(names, parts, strict=True):
            self.multiply(hidden, name, part, name)
        more = [bias, mask, distances] if distances else [bias, mask]
        for name in more:
            self.use(name)
        (heads,) = (row.i for row in node.attribute if row.name == "num_heads")
        self.graph.node(
            "MultiHeadAttention",
            [*names, *more],
            node.output[0],
            domain=FUSED,
            attributes={"num_heads": heads},
        )
        return True

    def _keep(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self.use(name)
        self.graph.node(
            node.op_type,
            node.input,
            node.output[0],
            domain=node.domain,
            more_outputs=node.output[1:],
            attributes={row.name: onnx.helper.get_attribute_value(row) for row in node.attribute},
        )


def product_inputs(graph: onnx.GraphProto) -> list[str]:
    """What meets constant float32 matrices in products, in the order of the nodes."""
    constants = {weight.name for weight in graph.initializer if _is_matrix(weight)}
    found = [
        node.input[0]
        for node in graph.node
        if node.op_type in _PRODUCTS and node.input[1] in constants
    ]
    return list(dict.fromkeys(found))


def _is_matrix(weight: onnx.TensorProto) -> bool:
    return len(weight.dims) == 2 and weight.data_type == onnx.TensorProto.FLOAT


def _infos(values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[str | int]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }
