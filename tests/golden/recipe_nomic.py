"""A small checkpoint of nomic-embed-text v1.5: rotary positions and SwiGLU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from checkpoint_tokenizers import wordpiece
from recipe import (
    Encoder,
    Recipe,
    Shapes,
    bert_tokenizer_config,
    encoder_of,
    padded_vocabulary,
    refuse_missing,
)
from transformers import NomicBertConfig, NomicBertModel

NOMIC_SIZES = {"n_embd": 64, "n_head": 4, "n_inner": 128, "n_layer": 3}
NOMIC_PROMPTS = ("search_query", "search_document", "clustering", "classification")


def nomic_bert() -> Recipe:
    """BERT with rotary positions, SwiGLU and no biases, with prompts and Matryoshka sizes."""
    tokenizer = wordpiece(1400)
    return Recipe(
        modelled_on="nomic-ai/nomic-embed-text-v1.5",
        config=_nomic_config(padded_vocabulary(tokenizer.get_vocab_size())),
        tokenizer=tokenizer,
        tokenizer_config=bert_tokenizer_config(8192),
        max_input_tokens=8192,
        pooling="mean",
        normalize_module=False,
        shapes=_nomic_shapes,
        load=_load_nomic,
        reference="transformers NomicBertModel",
        native=False,
        prompts={name: f"{name}: " for name in NOMIC_PROMPTS},
        matryoshka_dimensions=(64, 32, 16),
    )


def _nomic_config(vocab_size: int) -> dict[str, Any]:
    """Return GPT-2 style keys, as published; the matryoshka key is Jina v3's name for the list."""
    return {
        "activation_function": "swiglu",
        "architectures": ["NomicBertModel"],
        "attn_pdrop": 0.0,
        "causal": False,
        "dense_seq_output": True,
        "embd_pdrop": 0.0,
        "layer_norm_epsilon": 1e-12,
        "matryoshka_dimensions": [64, 32, 16],
        "max_trained_positions": 2048,
        "mlp_fc1_bias": False,
        "mlp_fc2_bias": False,
        "model_type": "nomic_bert",
        "n_positions": 8192,
        "pad_vocab_size_multiple": 64,
        "parallel_block": False,
        "prenorm": False,
        "qkv_proj_bias": False,
        "resid_pdrop": 0.0,
        "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False,
        "rotary_emb_scale_base": None,
        "rotary_scaling_factor": None,
        "torch_dtype": "float32",
        "type_vocab_size": 2,
        "use_rms_norm": False,
        "vocab_size": vocab_size,
        **NOMIC_SIZES,
    }


def _nomic_shapes(directory: Path) -> Shapes:
    config = NomicBertConfig.get_config_dict(directory)[0]
    hidden, inner = config["n_embd"], config["n_inner"]
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], hidden),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], hidden),
        "emb_ln.weight": (hidden,),
        "emb_ln.bias": (hidden,),
    }
    layer: Shapes = {
        "attn.Wqkv.weight": (3 * hidden, hidden),
        "attn.out_proj.weight": (hidden, hidden),
        "mlp.fc11.weight": (inner, hidden),
        "mlp.fc12.weight": (inner, hidden),
        "mlp.fc2.weight": (hidden, inner),
        **{f"norm{i}.{kind}": (hidden,) for i in (1, 2) for kind in ("weight", "bias")},
    }
    for n in range(config["n_layer"]):
        shapes |= {f"encoder.layers.{n}.{name}": shape for name, shape in layer.items()}
    return shapes


def _load_nomic(directory: Path) -> Encoder:
    """Load with transformers' class, whose configuration has other keys than the checkpoint."""
    published = NomicBertConfig.get_config_dict(directory)[0]
    config = NomicBertConfig(
        vocab_size=published["vocab_size"],
        hidden_size=published["n_embd"],
        num_hidden_layers=published["n_layer"],
        num_attention_heads=published["n_head"],
        intermediate_size=published["n_inner"],
        layer_norm_eps=published["layer_norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": published["rotary_emb_base"]},
    )
    model, report = NomicBertModel.from_pretrained(
        directory, config=config, dtype=torch.float32, output_loading_info=True
    )
    refuse_missing(report)
    return encoder_of(model.eval())
