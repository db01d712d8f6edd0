"""BERT (Devlin et al. 2018): learned positions, post-norm blocks, GELU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf

from engine.errors import ExportError
from engine.export.architectures.base import CheckpointTensor
from engine.export.architectures.parts import (
    bias,
    check_all_used,
    check_file,
    epsilon,
    multiply,
    number,
    project_and_norm,
    query_key_value,
    require,
)
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph
from engine.types import FloatArray

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
_PARTS = frozenset(_TENSORS) | frozenset(_BLOCK_TENSORS) | {"attn_qkv"}
_WITHOUT_BIAS = frozenset({"token_embd", "position_embd", "token_types"})
_UNUSED = ("pooler.", "cls.", "lm_head.", "embeddings.position_ids")
"""Heads for other tasks, which no embedding passes through, and a constant."""


class Bert:
    """Checkpoints of the model type `bert`, and GGUF files of the architecture `bert`."""

    name = "bert"
    checkpoint_type = "bert"
    prefix = "bert."
    """What names of tensors may start with, where a checkpoint has a head for another task."""

    def first_position(self, config: Mapping[str, Any]) -> int:  # noqa: ARG002 - see RoBERTa
        """Row of the first token's position."""
        return 0

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write `bert.*`; see `Architecture.add_hyperparameters`."""
        require(config, {"hidden_act": "gelu", "position_embedding_type": "absolute"})
        require(config, {"is_decoder": False, "add_cross_attention": False})
        positions = number(config, "max_position_embeddings") - self.first_position(config)
        writer.add_context_length(positions)
        writer.add_embedding_length(number(config, "hidden_size"))
        writer.add_feed_forward_length(number(config, "intermediate_size"))
        writer.add_block_count(number(config, "num_hidden_layers"))
        writer.add_head_count(number(config, "num_attention_heads"))
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(False)  # noqa: FBT003 - the writer's own signature
        writer.add_vocab_size(number(config, "vocab_size"))
        writer.add_token_type_count(number(config, "type_vocab_size"))

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, CheckpointTensor]:
        """Map names; see `Architecture.checkpoint_tensors`."""
        prefix = self.prefix if any(name.startswith(self.prefix) for name in names) else ""
        pairs = dict(_TENSORS)
        for block in range(number(config, "num_hidden_layers")):
            for target, source in _BLOCK_TENSORS.items():
                pairs[f"blk.{block}.{target}"] = f"encoder.layer.{block}.{source}"
        first_rows = {"position_embd": self.first_position(config)}
        tensors = {}
        for target, source in pairs.items():
            for part in ("weight",) if target in _WITHOUT_BIAS else ("weight", "bias"):
                tensors[f"{target}.{part}"] = CheckpointTensor(
                    f"{prefix}{source}.{part}", first_rows.get(target, 0)
                )
        unused = (*_UNUSED, *(prefix + start for start in _UNUSED))
        check_all_used(tensors, names, unused=unused, architecture=self.checkpoint_type)
        return tensors

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the encoder; see `Architecture.add_nodes`."""
        check_file(source, _PARTS)
        hidden = _embed(graph, source)
        for block in range(int(source.hyperparameter("block_count"))):
            hidden = _feed_forward(graph, source, block, _attend(graph, source, block, hidden))
        return hidden


def _embed(graph: Graph, source: GgufFile) -> str:
    """Token + position + type 0, normalised. Type 0 is added to the positions beforehand."""
    positions = _positions(source)
    if "token_types.weight" in source.names:
        positions = positions + source.tensor("token_types.weight")[:1]
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
        attributes={"epsilon": epsilon(source)},
    )


def _positions(source: GgufFile) -> FloatArray:
    positions = source.tensor("position_embd.weight")
    stated = int(source.hyperparameter("context_length"))
    if len(positions) != stated:
        raise ExportError(
            f"{source.path} states a context of {stated} tokens, but has {len(positions)} positions."
        )
    return positions


def _attend(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """Self-attention with one matrix (D, 3D) for Q, K and V, then residual and norm."""
    weight, shift = query_key_value(source, block)
    inputs = [
        hidden,
        graph.weight(f"blk.{block}.attn_qkv.weight", weight),
        "" if shift is None else graph.weight(f"blk.{block}.attn_qkv.bias", shift),
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
    return project_and_norm(graph, source, block, hidden, context, "attn_output")


def _feed_forward(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    part = f"blk.{block}.ffn_up"
    up = multiply(graph, source, part, hidden)
    shift = bias(source, part)
    if shift is None:
        active = graph.node("Gelu", [up], f"blk.{block}.ffn_gelu", domain=FUSED)
    else:
        inputs = [up, graph.weight(f"{part}.bias", shift)]
        active = graph.node("BiasGelu", inputs, f"blk.{block}.ffn_gelu", domain=FUSED)
    return project_and_norm(graph, source, block, hidden, active, "ffn_down")
