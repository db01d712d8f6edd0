"""Unigram, as SentencePiece writes it and XLM-R has it."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import gguf

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

_UNUSED_SCORE = -10000.0


def unigram(document: Json, size: int) -> Vocabulary:
    """SentencePiece's Unigram, which llama.cpp names after T5."""
    model = document["model"]
    ids = token_ids(document, {row[0]: index for index, row in enumerate(model["vocab"])}, size)
    tokens, types = placed(ids, special_tokens(document), size)
    if model["unk_id"] is None:
        raise ExportError("A Unigram tokenizer without an unknown token is not supported.")
    types[model["unk_id"]] = int(gguf.TokenType.UNKNOWN)
    if model.get("byte_fallback"):
        raise ExportError("A Unigram tokenizer that falls back to bytes is not supported.")
    scores = [_UNUSED_SCORE] * size
    for index, (_, score) in enumerate(model["vocab"]):
        scores[index] = float(score)
    special_ids = special_token_ids(ids)
    charsmap, joins_spaces = _sentencepiece_normalizer(document["normalizer"])
    splitters = {row["type"]: row for row in _steps(document["pre_tokenizer"], "pretokenizers")}
    if "Metaspace" not in splitters or set(splitters) - {"Metaspace", "WhitespaceSplit"}:
        raise ExportError(f"A Unigram tokenizer that splits by {list(splitters)} is not supported.")
    metaspace = splitters["Metaspace"]
    prefixes = metaspace.get("prepend_scheme", "always") != "never"
    return Vocabulary(
        model="t5",
        pre="default",
        tokens=tuple(tokens),
        types=tuple(types),
        special_ids=special_ids,
        flags={
            "add_space_prefix": prefixes and metaspace.get("add_prefix_space", True),
            "remove_extra_whitespaces": joins_spaces or "WhitespaceSplit" in splitters,
            **frame(document, special_ids),
        },
        scores=tuple(scores),
        charsmap=charsmap,
    )


def _sentencepiece_normalizer(normalizer: Json | None) -> tuple[bytes, bool]:
    """The character map, and whether runs of spaces become one."""
    charsmap, joins_spaces = b"", False
    for step in _steps(normalizer, "normalizers"):
        if step["type"] == "Precompiled" and not charsmap:
            charsmap = base64.b64decode(step["precompiled_charsmap"] or "")
        elif step["type"] == "Replace" and step["pattern"] == {"Regex": " {2,}"}:
            joins_spaces = True
        elif step["type"] != "Strip":
            raise ExportError(f"A Unigram tokenizer that normalizes by {step} is not supported.")
    return charsmap, joins_spaces


def _steps(part: Json | None, members: str) -> Iterator[Json]:
    """The steps of a normalizer or pre-tokenizer, which may be none, one or a sequence."""
    if part is None:
        return
    if part["type"] == "Sequence":
        yield from part[members]
    else:
        yield part
