"""Nodes that several architectures of the BERT family share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.export.gguf_file import GgufFile
from engine.export.graph import Graph
from engine.types import FloatArray

_QKV = ("attn_q", "attn_k", "attn_v")


def epsilon(source: GgufFile) -> float:
    """Added to variances by layer normalisation."""
    return source.real("attention.layer_norm_epsilon")


def embed(graph: Graph, source: GgufFile) -> str:
    """Nodes of token + type 0, normalised: (B, T) -> (B, T, D). Positions enter elsewhere."""
    table = graph.weight("token_embd", source.tensor("token_embd.weight"))
    hidden = graph.node("Gather", [table, "input_ids"], "tokens")
    if "token_types.weight" in source.names:
        kind = graph.weight("token_type", source.tensor("token_types.weight")[0])
        hidden = graph.node("Add", [hidden, kind], "typed_tokens")
    names = ("token_embd_norm.weight", "token_embd_norm.bias")
    weights = [graph.weight(name, source.tensor(name)) for name in names]
    return graph.node(
        "LayerNormalization",
        [hidden, *weights],
        "embeddings",
        attributes={"axis": -1, "epsilon": epsilon(source)},
    )


def query_key_value(source: GgufFile, block: int) -> tuple[FloatArray, FloatArray | None]:
    """One matrix (D, 3D) for Q, K and V, and their bias (3D,) where there is any.

    Files have them as one tensor or as three; of three, each may have a bias.
    """
    parts = [f"blk.{block}.{part}" for part in _QKV]
    if f"blk.{block}.attn_qkv.weight" in source.names:
        parts = [f"blk.{block}.attn_qkv"]
    weights = [source.tensor(f"{part}.weight") for part in parts]
    biases = [bias(source, part) for part in parts]
    stacked = np.concatenate(weights).T
    if all(values is None for values in biases):
        return stacked, None
    filled = [
        np.zeros(len(weight), np.float32) if values is None else values
        for weight, values in zip(weights, biases, strict=True)
    ]
    return stacked, np.concatenate(filled)


def bias(source: GgufFile, part: str) -> FloatArray | None:
    """The bias of a part such as `blk.0.ffn_up`, or None."""
    name = f"{part}.bias"
    return source.tensor(name) if name in source.names else None


def multiply(graph: Graph, source: GgufFile, part: str, values: str) -> str:
    """A product with a part's matrix, without its bias."""
    weight = graph.weight(f"{part}.weight", source.tensor(f"{part}.weight").T)
    return graph.node("MatMul", [values, weight], part)


def linear(graph: Graph, source: GgufFile, part: str, values: str) -> str:
    """A product with a part's matrix, plus its bias where there is one."""
    product = multiply(graph, source, part, values)
    shift = bias(source, part)
    if shift is None:
        return product
    return graph.node("Add", [product, graph.weight(f"{part}.bias", shift)], f"{part}.biased")


def project_and_norm(
    graph: Graph, source: GgufFile, block: int, residual: str, values: str, projection: str
) -> str:
    """LayerNorm(residual + values x projection + bias)."""
    norm = {"attn_output": "attn_output_norm", "ffn_down": "layer_output_norm"}[projection]
    part = f"blk.{block}.{projection}"
    terms = [residual, multiply(graph, source, part, values)]
    shift = bias(source, part)
    if shift is not None:
        terms.append(graph.weight(f"{part}.bias", shift))
    name = f"blk.{block}.{norm}"
    weights = [
        graph.weight(f"{name}.{half}", source.tensor(f"{name}.{half}"))
        for half in ("weight", "bias")
    ]
    return add_and_norm(graph, terms, weights, name, epsilon(source))


def add_and_norm(
    graph: Graph, terms: Sequence[str], weights: Sequence[str], output: str, epsilon: float
) -> str:
    """LayerNorm(sum of the terms).

    ONNX Runtime's fused SkipLayerNormalization takes four times as long on a CPU as these two,
    and would be put in the place of an Add, but not of a Sum.
    """
    total = graph.node("Sum", terms, f"{output}.sum")
    return graph.node(
        "LayerNormalization",
        [total, *weights],
        output,
        attributes={"axis": -1, "epsilon": epsilon},
    )
