"""Small GGUF files for the tests, written by the gguf package and not by our exporter."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

CHECKPOINT = Path(__file__).parents[2] / "golden/checkpoints/bert"
LENGTH = 256
"""Tokens that the models take."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write_vocabulary(writer: gguf.GGUFWriter) -> None:
    """llama.cpp marks where a word begins, and not where it goes on as BERT's ## does."""
    tokens = (CHECKPOINT / "vocab.txt").read_text("utf-8").splitlines()
    words = [t[2:] if t.startswith("##") and len(t) > 2 else f"\u2581{t}" for t in tokens]
    special = [token in SPECIAL for token in tokens]
    writer.add_tokenizer_model("bert")
    writer.add_token_list([t if s else w for t, w, s in zip(tokens, words, special, strict=True)])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if s else gguf.TokenType.NORMAL for s in special]
    )
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_bert(path: Path, architecture: str = "bert") -> None:
    """The small BERT checkpoint as GGUF, written without our exporter."""
    tensors = load_file(CHECKPOINT / "model.safetensors")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(LENGTH)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_block_count(3)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    writer.add_token_type_count(2)
    write_vocabulary(writer)
    names = {
        "embeddings.word_embeddings.weight": "token_embd.weight",
        "embeddings.position_embeddings.weight": "position_embd.weight",
        "embeddings.token_type_embeddings.weight": "token_types.weight",
        "embeddings.LayerNorm.weight": "token_embd_norm.weight",
        "embeddings.LayerNorm.bias": "token_embd_norm.bias",
    }
    for layer in range(3):
        for theirs, ours in LAYER_NAMES.items():
            for part in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{part}"] = f"blk.{layer}.{ours}.{part}"
    for theirs, ours in names.items():
        writer.add_tensor(ours, tensors[theirs])
    finish(writer)


def write_decoder(path: Path, *, pooling: int | None) -> None:
    """A random llama with one layer; with a pooling it is an embedding model, as Qwen3's are."""
    random = np.random.default_rng(0)
    vocabulary = len((CHECKPOINT / "vocab.txt").read_text("utf-8").splitlines())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(LENGTH)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(128)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    if pooling is not None:
        writer.add_pooling_type(gguf.PoolingType(pooling))
    write_vocabulary(writer)
    shapes = {"attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64), "attn_output": (64, 64)}
    shapes |= {"ffn_gate": (128, 64), "ffn_up": (128, 64), "ffn_down": (64, 128)}
    for name, shape in shapes.items():
        writer.add_tensor(f"blk.0.{name}.weight", random.normal(0, 0.2, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(64, np.float32))
    embeddings = random.normal(0, 1, (vocabulary, 64)).astype(np.float32)
    writer.add_tensor("token_embd.weight", embeddings)
    finish(writer)
