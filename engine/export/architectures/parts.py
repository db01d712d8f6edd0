"""Nodes and checks that several architectures of the BERT family share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from engine.errors import ExportError
from engine.export.architectures.base import CheckpointTensor
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph
from engine.types import FloatArray

_BLOCK_PREFIX = re.compile(r"blk\.(\d+)\.")
_QKV = ("attn_q", "attn_k", "attn_v")


def require(config: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Refuse a configuration that states another value than the only one that works.

    Raises:
        ExportError: names the first key that differs.
    """
    for key, value in expected.items():
        if config.get(key, value) != value:
            raise ExportError(f"config.json has {key}={config[key]!r}; only {value!r} works.")


def number(config: Mapping[str, Any], key: str) -> int:
    """A whole number that a configuration must state.

    Raises:
        ExportError: it does not.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ExportError(f"config.json has {key}={value!r}; a whole number is needed.")
    return value


def check_all_used(
    tensors: Mapping[str, CheckpointTensor],
    names: AbstractSet[str],
    *,
    unused: tuple[str, ...],
    architecture: str,
) -> None:
    """Refuse a checkpoint that lacks a tensor, or has one whose effect would be lost.

    Args:
        tensors: what is read.
        names: what the checkpoint has.
        unused: starts of names that no embedding depends on.
        architecture: for the message.

    Raises:
        ExportError: names the tensor.
    """
    used = {tensor.name for tensor in tensors.values()}
    if used - names:
        raise ExportError(f"The checkpoint has no tensor {min(used - names)!r}.")
    for name in sorted(names - used):
        if not name.startswith(unused):
            raise ExportError(f"The checkpoint's tensor {name!r} has no place in {architecture}.")


def check_file(source: GgufFile, parts: AbstractSet[str]) -> None:
    """Refuse a GGUF file whose numbers contradict each other, or whose tensors would be ignored.

    Args:
        source: the file.
        parts: tensors that are read, without block number and without `.weight` or `.bias`.

    Raises:
        ExportError: says what is contradicting or not known.
    """
    blocks = int(source.hyperparameter("block_count"))
    for name in sorted(source.names):
        match = _BLOCK_PREFIX.match(name)
        part = name[match.end() if match else 0 :].removesuffix(".weight").removesuffix(".bias")
        if part not in parts or (match and int(match[1]) >= blocks):
            raise ExportError(
                f"{source.path}: the tensor {name!r} has no place in {source.architecture} "
                f"with {blocks} blocks."
            )
    heads = int(source.hyperparameter("attention.head_count"))
    width = int(source.hyperparameter("embedding_length"))
    found = source.tensor("token_embd.weight").shape[1]
    if found != width or width % heads:
        raise ExportError(
            f"{source.path} states {width} dimensions and {heads} heads, but its tokens have "
            f"{found} dimensions; these must be equal and a multiple of the heads."
        )
    refuse_stated(source, {"attention.causal": False, "attention.head_count_kv": heads})


def refuse_stated(source: GgufFile, expected: Mapping[str, Any]) -> None:
    """Refuse a GGUF file that states another value than the only one that works.

    Raises:
        ExportError: names the key.
    """
    for key, value in expected.items():
        try:
            found = source.hyperparameter(key)
        except ExportError:  # not stated
            continue
        if found != value:
            raise ExportError(f"{source.path} has {key}={found!r}; only {value!r} works.")


def epsilon(source: GgufFile) -> float:
    """Added to variances by layer normalisation."""
    return float(source.hyperparameter("attention.layer_norm_epsilon"))


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
    names = [f"blk.{block}.{norm}.weight", f"blk.{block}.{norm}.bias"]
    if f"{part}.bias" in source.names:
        names.append(f"{part}.bias")
    product = multiply(graph, source, part, values)
    return graph.node(
        "SkipLayerNormalization",
        [residual, product, *(graph.weight(name, source.tensor(name)) for name in names)],
        f"blk.{block}.{norm}",
        domain=FUSED,
        attributes={"epsilon": epsilon(source)},
    )
