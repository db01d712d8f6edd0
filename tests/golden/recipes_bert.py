"""Small checkpoints of the architectures that are BERT with another vocabulary and positions."""

from __future__ import annotations

from typing import Any

from checkpoint_tokenizers import byte_level_bpe, unigram, wordpiece
from recipe import (
    JsonValue,
    Recipe,
    bert_config,
    bert_tokenizer_config,
    native,
    native_shapes,
    roberta_tokenizer_config,
)


def bert() -> Recipe:
    """BERT with WordPiece and the [CLS] vector, like the BGE models."""
    tokenizer = wordpiece(1400)
    return Recipe(
        modelled_on="BAAI/bge-small-en-v1.5",
        config=bert_config(vocab_size=tokenizer.get_vocab_size()),
        tokenizer=tokenizer,
        tokenizer_config=bert_tokenizer_config(256),
        max_input_tokens=256,
        pooling="cls",
        normalize_module=True,
        shapes=lambda directory: native_shapes(directory) | {"embeddings.position_ids": (1, 256)},
        load=native,
        reference="transformers BertModel",
    )


def _roberta_config(**changed: JsonValue) -> dict[str, Any]:
    """Return RoBERTa's ids and its table of positions, whose first two rows are never used."""
    return bert_config(
        bos_token_id=0,
        eos_token_id=2,
        layer_norm_eps=1e-5,
        max_position_embeddings=258,
        num_hidden_layers=2,
        pad_token_id=1,
        type_vocab_size=1,
        **changed,
    )


def xlm_roberta() -> Recipe:
    """XLM-RoBERTa with Unigram pieces and the <s> vector, like BGE-M3."""
    tokenizer = unigram(1500)
    return Recipe(
        modelled_on="BAAI/bge-m3",
        config=_roberta_config(
            architectures=["XLMRobertaModel"],
            model_type="xlm-roberta",
            output_past=True,
            vocab_size=tokenizer.get_vocab_size(),
        ),
        tokenizer=tokenizer,
        tokenizer_config=roberta_tokenizer_config("XLMRobertaTokenizer", 256),
        max_input_tokens=256,
        pooling="cls",
        normalize_module=True,
        shapes=native_shapes,
        load=native,
        reference="transformers XLMRobertaModel",
    )


def roberta() -> Recipe:
    """RoBERTa with byte-level BPE and the mean vector, like all-distilroberta-v1."""
    tokenizer = byte_level_bpe(1000)
    return Recipe(
        modelled_on="sentence-transformers/all-distilroberta-v1",
        config=_roberta_config(
            architectures=["RobertaModel"],
            model_type="roberta",
            vocab_size=tokenizer.get_vocab_size(),
        ),
        tokenizer=tokenizer,
        tokenizer_config={
            **roberta_tokenizer_config("RobertaTokenizer", 256),
            "add_prefix_space": False,
            "trim_offsets": True,
        },
        max_input_tokens=256,
        pooling="mean",
        normalize_module=True,
        shapes=native_shapes,
        load=native,
        reference="transformers RobertaModel",
    )
