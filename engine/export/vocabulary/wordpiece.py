"""WordPiece, as BERT has it."""

from __future__ import annotations

from engine.errors import ExportError
from engine.export.vocabulary.base import (
    Json,
    Vocabulary,
    placed,
    special_token_ids,
    special_tokens,
    token_ids,
)

_PHANTOM_SPACE = "\u2581"


def wordpiece(document: Json, size: int) -> Vocabulary:
    """WordPiece, which llama.cpp turns round.

    A token that starts a word begins with U+2581 (a "phantom space") and a token inside of a
    word has no `##`.
    """
    ids = token_ids(document, document["model"]["vocab"], size)
    control = special_tokens(document)
    tokens, types = placed(ids, control, size)
    lowercase, strip_accents = _bert_normalizer(document["normalizer"])
    for token, index in ids.items():
        if token not in control:
            tokens[index] = token[2:] if token.startswith("##") else _PHANTOM_SPACE + token
    return Vocabulary(
        model="bert",
        pre="default",
        tokens=tuple(tokens),
        types=tuple(types),
        special_ids=special_token_ids(ids),
        flags={"normalizer.lowercase": lowercase, "normalizer.strip_accents": strip_accents},
    )


def _bert_normalizer(normalizer: Json | None) -> tuple[bool, bool]:
    """Lowercase and strip accents; where the second is not stated it follows the first."""
    if normalizer is None or normalizer.get("type") != "BertNormalizer":
        raise ExportError("A WordPiece tokenizer without BertNormalizer is not supported.")
    lowercase = bool(normalizer["lowercase"])
    strip_accents = normalizer["strip_accents"]
    return lowercase, lowercase if strip_accents is None else bool(strip_accents)
