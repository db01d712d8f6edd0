"""tokenizer.json -> the vocabulary as llama.cpp wants it in a GGUF file.

One file a kind of tokenizer. A new one is one row in `_READERS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import gguf
import tokenizers

from engine.errors import ExportError
from engine.export.vocabulary.base import Json, Vocabulary
from engine.export.vocabulary.bpe import byte_level_bpe
from engine.export.vocabulary.unigram import unigram
from engine.export.vocabulary.wordpiece import wordpiece
from engine.tokenizer import PROBES

_READERS: dict[str, Callable[[Json, int], Vocabulary]] = {
    "WordPiece": wordpiece,
    "Unigram": unigram,
    "BPE": byte_level_bpe,
}


def read_vocabulary(tokenizer_json: str, size: int) -> Vocabulary:
    """The vocabulary with `size` ids; ids that the tokenizer lacks become unused ones.

    Raises:
        ExportError: a GGUF file can't say what the tokenizer does, or it has ids beyond `size`.
    """
    document = _document(tokenizer_json)
    kind = document["model"].get("type")
    if kind not in _READERS:
        raise ExportError(
            f"The tokenizer is {kind!r}, which can't be exported. Supported: {', '.join(_READERS)}."
        )
    return _READERS[kind](document, size)


def _document(tokenizer_json: str) -> Json:
    """What the library reads, in its own form, which has all keys.

    Raises:
        ExportError: it reads nothing, or fails at a text.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
        tokenizer.encode_batch(PROBES)
    except Exception as exc:  # the library raises plain Exception
        raise ExportError(f"The tokenizer.json is not a tokenizer: {exc}.") from exc
    document: Json = json.loads(tokenizer.to_str())
    return document


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the vocabulary's part of a GGUF header."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    for role, token_id in vocabulary.special_ids.items():
        getattr(writer, f"add_{role}_token_id")(token_id)
    for key, value in vocabulary.flags.items():
        writer.add_bool(f"tokenizer.ggml.{key}", value)
    if vocabulary.charsmap:
        writer.add_precompiled_charsmap(vocabulary.charsmap)
