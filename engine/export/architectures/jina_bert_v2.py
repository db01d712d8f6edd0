"""Jina's BERT, version 2 (Günther et al. 2023): symmetric ALiBi and GEGLU."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf
import numpy as np

from engine.export.architectures.base import CheckpointTensor
from engine.export.architectures.checks import (
    add_encoder,
    add_numbers,
    blocks,
    check_file,
    checkpoint_tensors,
    has_bias,
    require,
    require_stated,
)
from engine.export.architectures.parts import (
    embed,
    linear,
    project_and_norm,
    query_key_value,
)
from engine.export.architectures.rows import SCOPE, attention_scope
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph

_STATED = {"position_embedding_type": "alibi", "feed_forward_type": "geglu"}
_ONLY = {"hidden_act": "gelu", "is_decoder": False, "add_cross_attention": False}
_NUMBERS = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "block_count": "num_hidden_layers",
    "head_count": "num_attention_heads",
}
_TENSORS = {
    "token_embd": "embeddings.word_embeddings",
    "token_types": "embeddings.token_type_embeddings",
    "token_embd_norm": "embeddings.LayerNorm",
}
_BLOCK_TENSORS = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "mlp.gated_layers",
    "ffn_down": "mlp.wo",
    "layer_output_norm": "mlp.layernorm",
}
_MORE_PARTS = frozenset({"ffn_gate", "attn_qkv"})
"""Older converters wrote the two halves of `ffn_up` apart."""
_PREFIX = "bert."


class JinaBertV2:
    """Checkpoints that say `bert` with ALiBi, and GGUF files of `jina-bert-v2`."""

    name = "jina-bert-v2"
    checkpoint_type = "jina_bert_v2"

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write `jina-bert-v2.*`; see `Architecture.add_hyperparameters`."""
        require_stated(config, _STATED)
        require(config, _ONLY)
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
        pairs = {}
        for target, source in sources.items():
            pairs[f"{target}.weight"] = f"{source}.weight"
            if target.endswith("norm") or has_bias(source, names, _PREFIX):
                pairs[f"{target}.bias"] = f"{source}.bias"
        return checkpoint_tensors(pairs, names, prefix=_PREFIX, architecture=self.checkpoint_type)

    def check(self, source: GgufFile) -> None:
        """See `Architecture.check`."""
        check_file(
            source, frozenset(_TENSORS) | frozenset(_BLOCK_TENSORS) | _MORE_PARTS, up_halves=2
        )

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the encoder; see `Architecture.add_nodes`."""
        self.check(source)
        heads = source.number("attention.head_count")
        attention_scope(graph)
        bias = _alibi(graph, heads)
        hidden = embed(graph, source)
        for block in range(source.number("block_count")):
            hidden = _attend(graph, source, block, hidden, bias)
            hidden = _feed_forward(graph, source, block, hidden)
        return hidden


def _slopes(heads: int) -> list[float]:
    """Slope of each head (Press et al. 2022, with the authors' rule for heads not a power of 2)."""
    whole = 1 << int(math.log2(heads))
    between = [2.0 ** (-4 * step / whole) for step in range(1, 2 * (heads - whole), 2)]
    return [2.0 ** (-8 * step / whole) for step in range(1, whole + 1)] + between


def _alibi(graph: Graph, heads: int) -> str:
    """Nodes of the bias (1, N, T, T): minus the slope of a head times the distance of tokens.

    In a row of several sequences, too: the tokens of each stand side by side.
    """
    slopes = -np.array(_slopes(heads), np.float32).reshape(1, heads, 1, 1)
    length = graph.node("Shape", ["input_ids"], "length", attributes={"start": 1, "end": 2})
    scalar = graph.node("Squeeze", [length], "length_scalar")
    limits = [graph.weight("zero", np.array(0, np.int64)), scalar]
    positions = graph.node(
        "Range", [*limits, graph.weight("one", np.array(1, np.int64))], "positions"
    )
    column_axis = graph.weight("column_axis", np.array([1], np.int64))
    column = graph.node("Unsqueeze", [positions, column_axis], "positions_column")
    steps = graph.node("Abs", [graph.node("Sub", [column, positions], "steps")], "distances")
    distances = graph.node("Cast", [steps], "distances_float", attributes={"to": 1})
    return graph.node("Mul", [graph.weight("slopes", slopes), distances], "alibi")


def _attend(graph: Graph, source: GgufFile, block: int, hidden: str, bias: str) -> str:
    """Self-attention with a bias on its scores, then residual and norm."""
    weight, shift = query_key_value(source, block)
    inputs = [
        hidden,
        graph.weight(f"blk.{block}.attn_qkv.weight", weight),
        "" if shift is None else graph.weight(f"blk.{block}.attn_qkv.bias", shift),
        SCOPE,
        "",
        bias,
    ]
    context = graph.node(
        "Attention",
        inputs,
        f"blk.{block}.attention",
        domain=FUSED,
        attributes={"num_heads": source.number("attention.head_count")},
    )
    return project_and_norm(graph, source, block, hidden, context, "attn_output")


def _feed_forward(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """GEGLU (Shazeer 2020): GELU(gate) x up; one matrix has the gate first, or there are two."""
    up = linear(graph, source, f"blk.{block}.ffn_up", hidden)
    if f"blk.{block}.ffn_gate.weight" in source.names:
        gate = linear(graph, source, f"blk.{block}.ffn_gate", hidden)
    else:
        gate, half = f"blk.{block}.ffn_gate", f"blk.{block}.ffn_ungated"
        up = _split(graph, up, gate, half)
    active = graph.node("Gelu", [gate], f"blk.{block}.ffn_gelu", domain=FUSED)
    gated = graph.node("Mul", [active, up], f"blk.{block}.ffn_gated")
    return project_and_norm(graph, source, block, hidden, gated, "ffn_down")


def _split(graph: Graph, values: str, first: str, second: str) -> str:
    """Halve the last axis; returns the name of the second half."""
    attributes = {"axis": -1, "num_outputs": 2}
    graph.node("Split", [values], first, more_outputs=[second], attributes=attributes)
    return second
