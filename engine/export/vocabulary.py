"""tokenizer.json -> the vocabulary as llama.cpp wants it in a GGUF file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gguf

from engine.errors import ExportError

_PHANTOM_SPACE = "\u2581"
_ROLE_OF_TOKEN = {
    "[CLS]": "bos",
    "[SEP]": "sep",
    "[PAD]": "pad",
    "[UNK]": "unk",
    "[MASK]": "mask",
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, their llama.cpp types, and the ids with a role."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    special_ids: dict[str, int]
    lowercase: bool
    strip_accents: bool


def wordpiece_vocabulary(tokenizer_json: str, size: int) -> Vocabulary:
    """The WordPiece vocabulary with `size` ids; ids that the tokenizer lacks become unused ones.

    llama.cpp turns WordPiece round: a token that starts a word begins with U+2581 (a "phantom
    space") and a token inside of a word has no `##`.

    Raises:
        ExportError: the tokenizer is not WordPiece, or has ids beyond `size`.
    """
    document = json.loads(tokenizer_json)
    model = document["model"]
    if model.get("type") != "WordPiece":
        raise ExportError(f"The tokenizer is {model.get('type')!r}, but WordPiece is needed here.")
    control = {row["content"] for row in document["added_tokens"] if row["special"]}
    ids: dict[str, int] = dict(model["vocab"])
    ids.update({row["content"]: row["id"] for row in document["added_tokens"]})
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [int(gguf.TokenType.UNUSED)] * size
    for token, index in ids.items():
        if index >= size:
            raise ExportError(f"The token {token!r} has the id {index}; the model has {size} ids.")
        tokens[index] = token if token in control else _phantom_space(token)
        types[index] = int(gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL)
    lowercase, strip_accents = _normalizer(document["normalizer"])
    roles = {role: ids[token] for token, role in _ROLE_OF_TOKEN.items() if token in ids}
    return Vocabulary(tuple(tokens), tuple(types), roles, lowercase, strip_accents)


def add_wordpiece(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    """Write the vocabulary's part of a GGUF header."""
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    for role, token_id in vocabulary.special_ids.items():
        getattr(writer, f"add_{role}_token_id")(token_id)
    writer.add_bool("tokenizer.ggml.normalizer.lowercase", vocabulary.lowercase)
    writer.add_bool("tokenizer.ggml.normalizer.strip_accents", vocabulary.strip_accents)


def _phantom_space(token: str) -> str:
    return token[2:] if token.startswith("##") else _PHANTOM_SPACE + token


def _normalizer(normalizer: dict[str, Any] | None) -> tuple[bool, bool]:
    """Lowercase and strip accents; where the second is not stated it follows the first."""
    if normalizer is None or normalizer.get("type") != "BertNormalizer":
        raise ExportError("A WordPiece tokenizer without BertNormalizer is not supported.")
    lowercase = bool(normalizer["lowercase"])
    strip_accents = normalizer["strip_accents"]
    return lowercase, lowercase if strip_accents is None else bool(strip_accents)
