"""fp32 ONNX -> ONNX whose products run on a GGUF file's own Q8_0 blocks.

A row of a weight matrix is recognised by its dequantised values, so transposing and joining
matrices, as graphs do, loses nothing: the same int8 numbers and the same scales are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from engine.errors import ExportError
from engine.export.architectures.parts import add_and_norm
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph
from engine.types import FloatArray

_BLOCK = 32
_SCALE_BYTES = 2
_ZERO_POINT = 128
"""MatMulNBits stores 8-bit numbers without sign, around this."""
_ACCURACY_LEVEL = 4
"""Activations are rounded to 8 bits in blocks of 32, which is what llama.cpp does, too.

Of all-MiniLM-L6-v2's golden texts, 62 of 64 then have a cosine >= 0.9996 to llama.cpp on the same
Q8_0 file (mean 0.99986); [CLS] [SEP] and [CLS] [UNK] [SEP] alone have 0.9993. With activations in
float32 (level 1) the mean is 0.99973 and the least 0.9988, and a run takes 1.3 to 3 times as long.
A vector does not depend on its batch at either level (largest difference 0).
"""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Q8_0 blocks of N rows of K weights: `quants` (N, K/32, 32) uint8, `scales` (N, K/32)."""

    quants: NDArray[np.uint8]
    scales: FloatArray


class BlockIndex:
    """All rows of the Q8_0 matrices of a GGUF file, by their dequantised values."""

    def __init__(self, source: GgufFile) -> None:
        self._rows: dict[bytes, bytes] = {}
        for name in source.names:
            if source.type_of(name) is gguf.GGMLQuantizationType.Q8_0:
                stored = source.stored(name)
                for values, blocks in zip(source.tensor(name), stored, strict=True):
                    self._rows[values.tobytes()] = blocks.tobytes()

    def find(self, rows: FloatArray) -> Blocks | None:
        """Blocks of the matrix (N, K), or None where not every row is one of the file's."""
        found = [self._rows.get(row.tobytes()) for row in np.ascontiguousarray(rows)]
        if not all(found):
            return None
        count = rows.shape[1] // _BLOCK
        data = np.frombuffer(b"".join(row for row in found if row), dtype=np.uint8)
        blocks = data.reshape(len(rows), count, _SCALE_BYTES + _BLOCK)
        scales = np.ascontiguousarray(blocks[..., :_SCALE_BYTES]).view("<f2")[..., 0]
        quants = np.ascontiguousarray(blocks[..., _SCALE_BYTES:]).view(np.int8)
        unsigned = (quants.astype(np.int16) + _ZERO_POINT).astype(np.uint8)
        return Blocks(unsigned, scales.astype(np.float32))


def write_block_onnx(source: GgufFile, fp32_path: Path, path: Path) -> Path:
    """Rewrite the fp32 graph that was exported from `source`, which has Q8_0 tensors.

    Returns:
        The file of weights, beside `path`.

    Raises:
        ExportError: no product of the graph has weights that are Q8_0 blocks.
    """
    model = onnx.load(fp32_path, load_external_data=False)
    data_path = path.with_name(f"{path.name}_data")
    with data_path.open("wb") as data:
        rewrite = _Rewrite(model, fp32_path.parent, BlockIndex(source), Graph(data, data_path.name))
        rewrite.run()
    graph = rewrite.graph
    graph.save(
        path,
        name=model.graph.name,
        inputs=_infos(model.graph.input),
        outputs=_infos(model.graph.output),
    )
    return data_path


class _Rewrite:
    """One pass over the nodes. Weights that no node uses any more are left out."""

    def __init__(
        self, model: onnx.ModelProto, directory: Path, index: BlockIndex, graph: Graph
    ) -> None:
        self.graph = graph
        self._model = model
        self._directory = directory
        self._index = index
        self._weights = {weight.name: weight for weight in model.graph.initializer}
        self._added: set[str] = set()
        self._products = 0
        self._rewriters = {
            "MatMul": self._product,
            "Attention": self._attention,
            "EmbedLayerNormalization": self._embed,
            "Gather": self._gather,
        }

    def run(self) -> None:
        for node in self._model.graph.node:
            rewriter = self._rewriters.get(node.op_type)
            if rewriter is None or not rewriter(node):
                self._keep(node)
        if not self._products:
            raise ExportError("No product of the graph has weights that are Q8_0 blocks.")

    def _product(self, node: onnx.NodeProto) -> bool:
        values, weight = node.input
        matrix = self._matrix(weight)
        return matrix is not None and self._multiply(values, weight, matrix, node.output[0])

    def _multiply(self, values: str, name: str, matrix: FloatArray, output: str) -> bool:
        """Values (..., K) x matrix (K, N)."""
        blocks = self._index.find(matrix.T)
        if blocks is None:
            return False
        self._products += 1
        size, outputs = matrix.shape
        inputs = [
            values,
            self.graph.weight(f"{name}.quants", blocks.quants),
            self.graph.weight(f"{name}.scales", blocks.scales.reshape(-1)),
        ]
        self.graph.node(
            "MatMulNBits",
            inputs,
            output,
            domain=FUSED,
            attributes={
                "K": size,
                "N": outputs,
                "bits": 8,
                "block_size": _BLOCK,
                "accuracy_level": _ACCURACY_LEVEL,
            },
        )
        return True

    def _attention(self, node: onnx.NodeProto) -> bool:
        """The fused operator takes no blocks: three products and MultiHeadAttention do."""
        hidden, weight, bias, mask = [*node.input, "", ""][:4]
        matrix = self._matrix(weight)
        if matrix is None or any(node.input[4:]) or not bias:
            return False
        names = [f"{node.output[0]}.{part}" for part in ("query", "key", "value")]
        parts = np.split(matrix, 3, axis=1)
        if any(self._index.find(part.T) is None for part in parts):
            return False
        for name, part in zip(names, parts, strict=True):
            self._multiply(hidden, name, np.ascontiguousarray(part), name)
        self._use(bias)
        self._use(mask)
        (heads,) = (row.i for row in node.attribute if row.name == "num_heads")
        self.graph.node(
            "MultiHeadAttention",
            [*names, bias, mask],
            node.output[0],
            domain=FUSED,
            attributes={"num_heads": heads},
        )
        return True

    def _embed(self, node: onnx.NodeProto) -> bool:
        """The fused operator takes no blocks: a Gather on them does."""
        ids, types, words, positions, _, scale, bias = list(node.input[:7])
        if types or any(node.input[7:]) or not self._gather_blocks(words, ids, f"{words}.gathered"):
            return False
        for name in (positions, scale, bias):
            self._use(name)
        placed = self._first_positions(ids, positions)
        (epsilon,) = (row.f for row in node.attribute if row.name == "epsilon")
        terms = [f"{words}.gathered", placed]
        add_and_norm(self.graph, terms, [scale, bias], node.output[0], epsilon)
        return True

    def _first_positions(self, ids: str, positions: str) -> str:
        """Rows 0 <= row < T of the positions (P, D), as (1, T, D)."""
        zero = self.graph.weight("zero", np.zeros(1, dtype=np.int64))
        tokens = self.graph.node("Shape", [ids], "tokens", attributes={"start": 1, "end": 2})
        rows = self.graph.node("Slice", [positions, zero, tokens, zero], "first_positions")
        return self.graph.node("Unsqueeze", [rows, zero], "placed")

    def _gather(self, node: onnx.NodeProto) -> bool:
        table, ids = node.input
        axis = next((row.i for row in node.attribute if row.name == "axis"), 0)
        return axis == 0 and self._gather_blocks(table, ids, node.output[0])

    def _gather_blocks(self, table: str, ids: str, output: str) -> bool:
        matrix = self._matrix(table)
        blocks = None if matrix is None else self._index.find(matrix)
        if blocks is None:
            return False
        rows = len(blocks.quants)
        inputs = [
            self.graph.weight(f"{table}.quants", blocks.quants.reshape(rows, -1)),
            ids,
            self.graph.weight(f"{table}.scales", blocks.scales),
        ]
        self.graph.node(
            "GatherBlockQuantized",
            inputs,
            output,
            domain=FUSED,
            attributes={
                "bits": 8,
                "block_size": _BLOCK,
                "gather_axis": 0,
                "quantize_axis": 1,
            },
        )
        return True

    def _keep(self, node: onnx.NodeProto) -> None:
        for name in node.input:
            self._use(name)
        self.graph.node(
            node.op_type,
            node.input,
            node.output[0],
            domain=node.domain,
            more_outputs=node.output[1:],
            attributes={row.name: onnx.helper.get_attribute_value(row) for row in node.attribute},
        )

    def _use(self, name: str) -> None:
        if name in self._weights and name not in self._added:
            self._added.add(name)
            self.graph.weight(name, self._read(name))

    def _matrix(self, name: str) -> FloatArray | None:
        if name not in self._weights or len(self._weights[name].dims) != 2:
            return None
        values = self._read(name)
        return values.astype(np.float32, copy=False) if values.dtype == np.float32 else None

    def _read(self, name: str) -> NDArray[np.generic]:
        values: NDArray[np.generic] = numpy_helper.to_array(
            self._weights[name], base_dir=str(self._directory)
        )
        return values


def _infos(values: Sequence[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[str | int]]]:
    return {
        value.name: (
            value.type.tensor_type.elem_type,
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in values
    }
