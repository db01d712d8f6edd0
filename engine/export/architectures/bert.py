"""BERT (Devlin et al. 2018): learned positions, post-norm blocks, GELU."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf
from onnx import TensorProto

from engine.errors import ExportError
from engine.export.architectures.base import CheckpointTensor
from engine.export.architectures.checks import (
    add_encoder,
    add_numbers,
    blocks,
    check_file,
    checkpoint_tensors,
    number,
    require,
)
from engine.export.architectures.parts import (
    bias,
    epsilon,
    multiply,
    project_and_norm,
    query_key_value,
)
from engine.export.architectures.rows import SCOPE, attention_scope, positions
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
_ONLY = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
_NUMBERS = {
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "head_count": "num_attention_heads",
}


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
        require(config, _ONLY)
        positions = number(config, "max_position_embeddings") - self.first_position(config)
        writer.add_context_length(positions)
        add_numbers(writer, config, _NUMBERS)
        add_encoder(writer, config, epsilon="layer_norm_eps")

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, CheckpointTensor]:
        """Map names; see `Architecture.checkpoint_tensors`."""
        sources = dict(_TENSORS)
        for block in blocks(config, "num_hidden_layers", names):
            for target, source in _BLOCK_TENSORS.items():
                sources[f"blk.{block}.{target}"] = f"encoder.layer.{block}.{source}"
        pairs = {
            f"{target}.{part}": f"{source}.{part}"
            for target, source in sources.items()
            for part in (("weight",) if target in _WITHOUT_BIAS else ("weight", "bias"))
        }
        return checkpoint_tensors(
            pairs,
            names,
            prefix=self.prefix,
            architecture=self.checkpoint_type,
            first_rows={"position_embd.weight": self.first_position(config)},
        )

    def check(self, source: GgufFile) -> None:
        """See `Architecture.check`."""
        check_file(source, _PARTS)

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the encoder; see `Architecture.add_nodes`."""
        self.check(source)
        attention_scope(graph)
        hidden = _embed(graph, source)
        for block in range(source.number("block_count")):
            hidden = _feed_forward(graph, source, block, _attend(graph, source, block, hidden))
        return hidden


def _embed(graph: Graph, source: GgufFile) -> str:
    """Token + position + type 0, normalised. Type 0 is added to the positions beforehand."""
    table = _positions(source)
    if "token_types.weight" in source.names:
        table = table + source.tensor("token_types.weight")[:1]
    inputs = [
        "input_ids",
        "",
        graph.weight("token_embd", source.tensor("token_embd.weight")),
        graph.weight("position_and_type", table),
        "",
        graph.weight("token_embd_norm.weight", source.tensor("token_embd_norm.weight")),
        graph.weight("token_embd_norm.bias", source.tensor("token_embd_norm.bias")),
        "",
        positions(graph, len(table), TensorProto.INT32),
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
    table = source.tensor("position_embd.weight")
    stated = source.context_length
    if len(table) != stated:
        raise ExportError(
            f"{source.path} states a context of {stated} tokens, but has {len(table)} positions."
        )
    return table


def _attend(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """Self-attention with one matrix (D, 3D) for Q, K and V, then residual and norm."""
    weight, shift = query_key_value(source, block)
    inputs = [
        hidden,
        graph.weight(f"blk.{block}.attn_qkv.weight", weight),
        "" if shift is None else graph.weight(f"blk.{block}.attn_qkv.bias", shift),
        SCOPE,
    ]
    heads = source.number("attention.head_count")
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
