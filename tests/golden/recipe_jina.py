"""A small checkpoint of jina-embeddings-v2: symmetric ALiBi and GEGLU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from checkpoint_tokenizers import wordpiece
from jina_bert import JinaBert
from recipe import Encoder, Recipe, bert_config, bert_tokenizer_config, padded_vocabulary
from safetensors.torch import load_file


def jina_bert_v2() -> Recipe:
    """BERT with symmetric ALiBi and GEGLU, stored as float16; 6 heads, so not a power of two."""
    tokenizer = wordpiece(1400)
    config = bert_config(
        architectures=["JinaBertForMaskedLM"],
        emb_pooler="mean",
        feed_forward_type="geglu",
        hidden_size=96,
        max_position_embeddings=8192,
        num_attention_heads=6,
        position_embedding_type="alibi",
        torch_dtype="float16",
        vocab_size=padded_vocabulary(tokenizer.get_vocab_size()),
    )
    return Recipe(
        modelled_on="jinaai/jina-embeddings-v2-base-en",
        config=config,
        tokenizer=tokenizer,
        tokenizer_config=bert_tokenizer_config(8192),
        max_input_tokens=8192,
        pooling="mean",
        normalize_module=False,
        shapes=lambda _: {n: tuple(t.shape) for n, t in JinaBert(config).state_dict().items()},
        load=lambda directory: _load_jina(directory, config),
        reference="tests/golden/jina_bert.py",
        native=False,
        dtype=torch.float16,
    )


def _load_jina(directory: Path, config: dict[str, Any]) -> Encoder:
    model = JinaBert(config)
    weights = load_file(directory / "model.safetensors")
    model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return model.eval()
