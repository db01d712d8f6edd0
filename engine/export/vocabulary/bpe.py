"""Byte-level BPE, as GPT-2 and RoBERTa have it."""

from __future__ import annotations

from engine.errors import ExportError
from engine.export.vocabulary.base import (
    Json,
    Vocabulary,
    frame,
    placed,
    special_token_ids,
    special_tokens,
    token_ids,
)


def byte_level_bpe(document: Json, size: int) -> Vocabulary:
    """GPT-2's byte-level BPE, as RoBERTa has it."""
    model, splitter = document["model"], document["pre_tokenizer"] or {}
    expected = {"type": "ByteLevel", "use_regex": True}
    found = {"use_regex": True, **splitter}
    if any(found.get(key) != value for key, value in expected.items()) or document["normalizer"]:
        raise ExportError(
            "Only byte-level BPE without a normalizer is supported; the tokenizer asks for "
            f"the splitter {splitter or None} after the normalizer {document['normalizer']}."
        )
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "dropout"):
        if model.get(key):
            raise ExportError(f"A BPE tokenizer with {key}={model[key]!r} is not supported.")
    ids = token_ids(document, model["vocab"], size)
    tokens, types = placed(ids, special_tokens(document), size)
    special_ids = special_token_ids(ids)
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    return Vocabulary(
        model="gpt2",
        pre="roberta-bpe",
        tokens=tuple(tokens),
        types=tuple(types),
        special_ids=special_ids,
        flags=frame(document, special_ids)
        | ({"add_space_prefix": True} if splitter.get("add_prefix_space") else {}),
        merges=tuple(merges),
    )
