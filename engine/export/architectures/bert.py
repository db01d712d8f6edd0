"""BERT (Devlin et al. 2018): learned positions, post-norm blocks, GELU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf
import numpy as np

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph

_TENSORS = {
    "token_embd": "embeddings.word_embeddings",
    "position_embd": "embeddings.position_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}
_BLOCK_TENSORS = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}
_WITHOUT_BIAS = frozenset({"token_embd", "position_embd", "token_types"})
_UNUSED = ("pooler.", "cls.")
"""Heads for other tasks, which no embedding passes through."""
_UNUSED_NAMES = frozenset({"embeddings.position_ids"})
_PREFIX = "bert."


class Bert:
    """Checkpoints of the model type `bert`, and GGUF files of the architecture `bert`."""

    name = "bert"
    checkpoint_types = frozenset({"bert"})

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write `bert.*`; see `Architecture.add_hyperparameters`."""
        required = {"hidden_act": "gelu", "position_embedding_type": "absolute"}
        for key, value in required.items():
            if config.get(key, value) != value:
                raise ExportError(f"config.json has {key}={config[key]!r}; only {value!r} works.")
        writer.add_context_length(config["max_position_embeddings"])
        writer.add_embedding_length(config["hidden_size"])
        writer.add_feed_forward_length(config["intermediate_size"])
        writer.add_block_count(config["num_hidden_layers"])
        writer.add_head_count(config["num_attention_heads"])
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)  # noqa: FBT003 - the writer's own signature
        writer.add_vocab_size(config["vocab_size"])
        writer.add_token_type_count(config["type_vocab_size"])

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, str]:
        """Map names; see `Architecture.checkpoint_tensors`."""
        prefix = _PREFIX if any(name.startswith(_PREFIX) for name in names) else ""
        pairs = dict(_TENSORS)
        for block in range(config["num_hidden_layers"]):
            for target, source in _BLOCK_TENSORS.items():
                pairs[f"blk.{block}.{target}"] = f"encoder.layer.{block}.{source}"
        tensors = {}
        for target, source in pairs.items():
            for part in ("weight",) if target in _WITHOUT_BIAS else ("weight", "bias"):
                tensors[f"{target}.{part}"] = f"{prefix}{source}.{part}"
        _check_all_used(tensors, names, prefix)
        return tensors

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the encoder; see `Architecture.add_nodes`."""
        hidden = _embed(graph, source)
        for block in range(int(source.hyperparameter("block_count"))):
            hidden = _feed_forward(graph, source, block, _attend(graph, source, block, hidden))
        return hidden


def _check_all_used(tensors: Mapping[str, str], names: AbstractSet[str], prefix: str) -> None:
    missing = set(tensors.values()) - names
    if missing:
        raise ExportError(f"The checkpoint has no tensor {min(missing)!r}.")
    for name in sorted(names - set(tensors.values())):
        bare = name.removeprefix(prefix)
        if bare not in _UNUSED_NAMES and not bare.startswith(_UNUSED):
            raise ExportError(f"The checkpoint's tensor {name!r} has no place in BERT.")


def _embed(graph: Graph, source: GgufFile) -> str:
    """Token + position + type 0, normalised. Type 0 is added to the positions beforehand."""
    positions = source.tensor("position_embd.weight") + source.tensor("token_types.weight")[:1]
    inputs = [
        "input_ids",
        "",
        graph.weight("token_embd", source.tensor("token_embd.weight")),
        graph.weight("position_and_type", positions),
        "",
        graph.weight("token_embd_norm.weight", source.tensor("token_embd_norm.weight")),
        graph.weight("token_embd_norm.bias", source.tensor("token_embd_norm.bias")),
    ]
    return graph.node(
        "EmbedLayerNormalization",
        inputs,
        "embeddings",
        domain=FUSED,
        more_outputs=["mask_index"],
        attributes={"epsilon": _epsilon(source)},
    )


def _attend(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """Self-attention with one matrix (D, 3D) for Q, K and V, then residual and norm."""
    parts = ("attn_q", "attn_k", "attn_v")
    weights = [source.tensor(f"blk.{block}.{part}.weight").T for part in parts]
    biases = [source.tensor(f"blk.{block}.{part}.bias") for part in parts]
    inputs = [
        hidden,
        graph.weight(f"blk.{block}.attn_qkv.weight", np.concatenate(weights, axis=1)),
        graph.weight(f"blk.{block}.attn_qkv.bias", np.concatenate(biases)),
        "attention_mask",
    ]
    heads = int(source.hyperparameter("attention.head_count"))
    context = graph.node(
        "Attention",
        inputs,
        f"blk.{block}.attention",
        domain=FUSED,
        attributes={"num_heads": heads},
    )
    return _project_and_norm(graph, source, block, hidden, context, "attn_output")


def _feed_forward(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    up = _multiply(graph, source, f"blk.{block}.ffn_up", hidden)
    bias = graph.weight(f"blk.{block}.ffn_up.bias", source.tensor(f"blk.{block}.ffn_up.bias"))
    active = graph.node("BiasGelu", [up, bias], f"blk.{block}.ffn_gelu", domain=FUSED)
    return _project_and_norm(graph, source, block, hidden, active, "ffn_down")


def _project_and_norm(
    graph: Graph, source: GgufFile, block: int, residual: str, values: str, projection: str
) -> str:
    """LayerNorm(residual + values x projection + bias)."""
    norm = {"attn_output": "attn_output_norm", "ffn_down": "layer_output_norm"}[projection]
    product = _multiply(graph, source, f"blk.{block}.{projection}", values)
    names = [f"{norm}.weight", f"{norm}.bias", f"{projection}.bias"]
    weights = [
        graph.weight(f"blk.{block}.{name}", source.tensor(f"blk.{block}.{name}")) for name in names
    ]
    return graph.node(
        "SkipLayerNormalization",
        [residual, product, *weights],
        f"blk.{block}.{norm}",
        domain=FUSED,
        attributes={"epsilon": _epsilon(source)},
    )


def _multiply(graph: Graph, source: GgufFile, name: str, values: str) -> str:
    weight = graph.weight(f"{name}.weight", source.tensor(f"{name}.weight").T)
    return graph.node("MatMul", [values, weight], name)


def _epsilon(source: GgufFile) -> float:
    return float(source.hyperparameter("attention.layer_norm_epsilon"))
