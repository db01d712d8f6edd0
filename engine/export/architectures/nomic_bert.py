"""Nomic's BERT (Nussbaum et al. 2024): rotary positions, SwiGLU, no biases but in norms."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import gguf
import numpy as np
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
    real,
    refuse_other,
    require,
    require_stated,
)
from engine.export.architectures.parts import (
    embed,
    multiply,
    project_and_norm,
    query_key_value,
)
from engine.export.architectures.rows import POSITIONS, SCOPE, attention_scope, positions
from engine.export.gguf_file import GgufFile
from engine.export.graph import FUSED, Graph

_STATED = {"activation_function": "swiglu", "rotary_emb_fraction": 1.0}
_ONLY = {
    "causal": False,
    "parallel_block": False,
    "prenorm": False,
    "use_rms_norm": False,
    "qkv_proj_bias": False,
    "mlp_fc1_bias": False,
    "mlp_fc2_bias": False,
    "rotary_emb_interleaved": False,
    "rotary_emb_scale_base": None,
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
}
_EXPERTS = ("moe_every_n_layers", "num_experts", "num_local_experts")
_NUMBERS = {
    "embedding_length": "n_embd",
    "feed_forward_length": "n_inner",
    "block_count": "n_layer",
    "head_count": "n_head",
}
_TENSORS = {
    "token_embd.weight": "embeddings.word_embeddings.weight",
    "token_types.weight": "embeddings.token_type_embeddings.weight",
    "token_embd_norm.weight": "emb_ln.weight",
    "token_embd_norm.bias": "emb_ln.bias",
}
_BLOCK_TENSORS = {
    "attn_qkv.weight": "attn.Wqkv.weight",
    "attn_output.weight": "attn.out_proj.weight",
    "attn_output_norm.weight": "norm1.weight",
    "attn_output_norm.bias": "norm1.bias",
    "ffn_up.weight": "mlp.fc11.weight",
    "ffn_gate.weight": "mlp.fc12.weight",
    "ffn_down.weight": "mlp.fc2.weight",
    "layer_output_norm.weight": "norm2.weight",
    "layer_output_norm.bias": "norm2.bias",
}
_PARTS = frozenset(name.rsplit(".", 1)[0] for name in (*_TENSORS, *_BLOCK_TENSORS))
_SEPARATE_PARTS = frozenset({"attn_q", "attn_k", "attn_v"})


class NomicBert:
    """Checkpoints of the model type `nomic_bert`, and GGUF files of `nomic-bert`."""

    name = "nomic-bert"
    checkpoint_type = "nomic_bert"

    def add_hyperparameters(self, writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
        """Write `nomic-bert.*`; see `Architecture.add_hyperparameters`."""
        require_stated(config, _STATED)
        require(config, _ONLY)
        for key in _EXPERTS:
            if config.get(key):
                raise ExportError(
                    f"config.json has {key}={config[key]!r}; experts are not supported."
                )
        writer.add_context_length(_context_length(config))
        add_numbers(writer, config, _NUMBERS)
        writer.add_rope_freq_base(real(config, "rotary_emb_base"))
        add_encoder(writer, config, epsilon="layer_norm_epsilon")

    def checkpoint_tensors(
        self, config: Mapping[str, Any], names: AbstractSet[str]
    ) -> dict[str, CheckpointTensor]:
        """Map names; see `Architecture.checkpoint_tensors`."""
        pairs = dict(_TENSORS)
        for block in blocks(config, "n_layer", names):
            for target, source in _BLOCK_TENSORS.items():
                pairs[f"blk.{block}.{target}"] = f"encoder.layers.{block}.{source}"
        return checkpoint_tensors(pairs, names, prefix="bert.", architecture=self.checkpoint_type)

    def check(self, source: GgufFile) -> None:
        """See `Architecture.check`."""
        check_file(source, _PARTS | _SEPARATE_PARTS)
        _refuse_biases(source)

    def add_nodes(self, graph: Graph, source: GgufFile) -> str:
        """Add the encoder; see `Architecture.add_nodes`."""
        self.check(source)
        attention_scope(graph)
        positions(graph, source.context_length, TensorProto.INT64)
        _add_rotation(graph, source)
        hidden = embed(graph, source)
        for block in range(source.number("block_count")):
            hidden = _feed_forward(graph, source, block, _attend(graph, source, block, hidden))
        return hidden


def _context_length(config: Mapping[str, Any]) -> int:
    """Tokens that the model was trained on; published checkpoints scale positions beyond them."""
    trained = config.get("max_trained_positions")
    if trained is None and config.get("rotary_scaling_factor"):
        raise ExportError(
            f"config.json has rotary_scaling_factor={config['rotary_scaling_factor']!r} and no "
            "max_trained_positions; scaled positions are not supported."
        )
    positions = number(config, "n_positions")
    return positions if trained is None else min(positions, int(trained))


def _refuse_biases(source: GgufFile) -> None:
    """llama.cpp leaves biases of the feed-forward out, so a file with them is not of this model."""
    for name in sorted(source.names):
        if name.endswith((".ffn_up.bias", ".ffn_gate.bias", ".ffn_down.bias")):
            raise ExportError(f"{source.path}: the tensor {name!r} has no place in nomic-bert.")


def _add_rotation(graph: Graph, source: GgufFile) -> None:
    """Cosines and sines (context, head size / 2) of all positions (Su et al. 2021)."""
    width = source.number("embedding_length")
    size = width // source.number("attention.head_count")
    refuse_other(
        source,
        {"rope.dimension_count": size, "rope.scaling.type": "none", "rope.scaling.factor": 1.0},
    )
    base = source.real("rope.freq_base")
    frequencies = base ** -(np.arange(0, size, 2) / size)
    angles = np.arange(source.context_length)[:, None] * frequencies
    graph.weight("rope.cos", np.cos(angles).astype(np.float32))
    graph.weight("rope.sin", np.sin(angles).astype(np.float32))


def _attend(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """Self-attention of rotated Q and K, then residual and norm."""
    part = f"blk.{block}.attn_qkv"
    weight, shift = query_key_value(source, block)
    stacked = graph.node("MatMul", [hidden, graph.weight(f"{part}.weight", weight)], part)
    if shift is not None:
        stacked = graph.node(
            "Add", [stacked, graph.weight(f"{part}.bias", shift)], f"{part}.biased"
        )
    query, key, value = (f"blk.{block}.{name}" for name in ("query", "key", "value"))
    graph.node(
        "Split",
        [stacked],
        query,
        more_outputs=[key, value],
        attributes={"axis": -1, "num_outputs": 3},
    )
    rotated = [
        graph.node(
            "RotaryEmbedding",
            [values, POSITIONS, "rope.cos", "rope.sin"],
            f"{values}.rotated",
            domain=FUSED,
        )
        for values in (query, key)
    ]
    context = graph.node(
        "MultiHeadAttention",
        [*rotated, value, "", SCOPE],
        f"blk.{block}.attention",
        domain=FUSED,
        attributes={"num_heads": source.number("attention.head_count")},
    )
    return project_and_norm(graph, source, block, hidden, context, "attn_output")


def _feed_forward(graph: Graph, source: GgufFile, block: int, hidden: str) -> str:
    """SwiGLU (Shazeer 2020): SiLU(gate) x up. QuickGelu with an alpha of 1 is SiLU."""
    gate = multiply(graph, source, f"blk.{block}.ffn_gate", hidden)
    active = graph.node(
        "QuickGelu", [gate], f"blk.{block}.ffn_silu", domain=FUSED, attributes={"alpha": 1.0}
    )
    up = multiply(graph, source, f"blk.{block}.ffn_up", hidden)
    gated = graph.node("Mul", [active, up], f"blk.{block}.ffn_gated")
    return project_and_norm(graph, source, block, hidden, gated, "ffn_down")
