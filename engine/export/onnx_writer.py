"""GGUF -> ONNX, without torch."""

from __future__ import annotations

from pathlib import Path

from onnx import TensorProto

from engine.backends.rows import ROW_TOKENS
from engine.export.architectures import architecture_of_gguf
from engine.export.gguf_file import GgufFile
from engine.export.graph import Graph


def write_onnx(source: GgufFile, path: Path) -> Path:
    """Write an fp32 graph from `input_ids`, `attention_mask` (B, T) int32 to (B, T, D) float32.

    Padding is on the right. A row may hold several sequences: see `architectures.rows`.
    Weights go to one file beside `path`, whose path is returned.

    Raises:
        UnsupportedArchitectureError: no exporter knows the file's architecture.
        ExportError: a tensor or a hyperparameter is missing.
    """
    architecture = architecture_of_gguf(source.architecture)
    data_path = path.with_name(f"{path.name}_data")
    with data_path.open("wb") as data:
        graph = Graph(data, data_path.name)
        hidden = architecture.add_nodes(graph, source)
        output = graph.node("Identity", [hidden], "token_vectors")
    dimensions = source.number("embedding_length")
    graph.save(
        path,
        name=architecture.name,
        inputs={
            "input_ids": (TensorProto.INT32, ("B", "T")),
            "attention_mask": (TensorProto.INT32, ("B", "T")),
        },
        outputs={output: (TensorProto.FLOAT, ("B", "T", dimensions))},
        metadata={ROW_TOKENS: str(source.context_length)},
    )
    return data_path
