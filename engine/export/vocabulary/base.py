"""What every kind of vocabulary has."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gguf
import tokenizers

from engine.errors import ExportError

Json: TypeAlias = dict[str, Any]

_ROLES_OF_TOKEN = {
    "[CLS]": ("bos",),
    "[SEP]": ("sep",),
    "[PAD]": ("pad",),
    "[UNK]": ("unk",),
    "[MASK]": ("mask",),
    "<s>": ("bos",),
    "</s>": ("eos", "sep"),
    "<pad>": ("pad",),
    "<unk>": ("unk",),
    "<mask>": ("mask",),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, their llama.cpp types, and the ids with a role.

    `model` and `pre` are llama.cpp's names of the algorithm and of how it splits words; `flags`
    are the other yes/no keys under `tokenizer.ggml`. `scores` are Unigram's, `merges` are BPE's.
    """

    model: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    special_ids: dict[str, int]
    flags: dict[str, bool]
    scores: tuple[float, ...] = ()
    merges: tuple[str, ...] = ()
    charsmap: bytes = field(default=b"", repr=False)


def token_ids(document: Json, vocabulary: dict[str, int], size: int) -> dict[str, int]:
    """Ids of all tokens, added ones included."""
    ids = vocabulary | {row["content"]: row["id"] for row in document["added_tokens"]}
    for token, index in ids.items():
        if index >= size:
            raise ExportError(f"The token {token!r} has the id {index}; the model has {size} ids.")
    return ids


def special_tokens(document: Json) -> frozenset[str]:
    """Tokens that no text spells, such as `[CLS]`."""
    return frozenset(row["content"] for row in document["added_tokens"] if row["special"])


def special_token_ids(ids: dict[str, int]) -> dict[str, int]:
    """Ids by the names that llama.cpp has for their roles."""
    return {
        role: ids[token]
        for token, roles in _ROLES_OF_TOKEN.items()
        for role in roles
        if token in ids
    }


def placed(ids: dict[str, int], control: frozenset[str], size: int) -> tuple[list[str], list[int]]:
    """Tokens and their types by id."""
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [int(gguf.TokenType.UNUSED)] * size
    for token, index in ids.items():
        tokens[index] = token
        types[index] = int(gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL)
    return tokens, types


def frame(document: Json, special_ids: dict[str, int]) -> dict[str, bool]:
    """That a text stands between <s> and </s>, the only frame that is supported."""
    found = tokenizers.Tokenizer.from_str(json.dumps(document)).encode("").ids
    if found != [special_ids.get("bos"), special_ids.get("eos")]:
        raise ExportError(f"The tokenizer puts the ids {found} around a text, not <s> and </s>.")
    return {"add_bos_token": True, "add_eos_token": True, "add_sep_token": True}
