"""tokenizer.json -> the vocabulary as llama.cpp wants it in a GGUF file."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import gguf
import tokenizers

from engine.errors import ExportError

Json: TypeAlias = dict[str, Any]

_PHANTOM_SPACE = "\u2581"
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
_UNUSED_SCORE = -10000.0


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


def read_vocabulary(tokenizer_json: str, size: int) -> Vocabulary:
    """The vocabulary with `size` ids; ids that the tokenizer lacks become unused ones.

    Raises:
        ExportError: a GGUF file can't say what the tokenizer does, or it has ids beyond `size`.
    """
    document: Json = json.loads(tokenizer_json)
    kind = document["model"].get("type")
    if kind not in _READERS:
        raise ExportError(
            f"The tokenizer is {kind!r}, which can't be exported. Supported: {', '.join(_READERS)}."
        )
    return _READERS[kind](document, size)


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


def _wordpiece(document: Json, size: int) -> Vocabulary:
    """WordPiece, which llama.cpp turns round.

    A token that starts a word begins with U+2581 (a "phantom space") and a token inside of a
    word has no `##`.
    """
    ids = _ids(document, document["model"]["vocab"], size)
    control = _special_tokens(document)
    tokens, types = _placed(ids, control, size)
    lowercase, strip_accents = _bert_normalizer(document["normalizer"])
    for token, index in ids.items():
        if token not in control:
            tokens[index] = token[2:] if token.startswith("##") else _PHANTOM_SPACE + token
    return Vocabulary(
        model="bert",
        pre="default",
        tokens=tuple(tokens),
        types=tuple(types),
        special_ids=_special_ids(ids),
        flags={"normalizer.lowercase": lowercase, "normalizer.strip_accents": strip_accents},
    )


def _unigram(document: Json, size: int) -> Vocabulary:
    """SentencePiece's Unigram, which llama.cpp names after T5."""
    model = document["model"]
    ids = _ids(document, {row[0]: index for index, row in enumerate(model["vocab"])}, size)
    tokens, types = _placed(ids, _special_tokens(document), size)
    types[model["unk_id"]] = int(gguf.TokenType.UNKNOWN)
    if model.get("byte_fallback"):
        raise ExportError("A Unigram tokenizer that falls back to bytes is not supported.")
    scores = [_UNUSED_SCORE] * size
    for index, (_, score) in enumerate(model["vocab"]):
        scores[index] = float(score)
    special_ids = _special_ids(ids)
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
            **_frame(document, special_ids),
        },
        scores=tuple(scores),
        charsmap=charsmap,
    )


def _byte_level_bpe(document: Json, size: int) -> Vocabulary:
    """GPT-2's byte-level BPE, as RoBERTa has it."""
    model, splitter = document["model"], document["pre_tokenizer"] or {}
    expected = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    found = {"use_regex": True, **splitter}
    if any(found.get(key) != value for key, value in expected.items()) or document["normalizer"]:
        raise ExportError(
            "Only byte-level BPE without a normalizer and without a space put before the text "
            "is supported; the tokenizer asks for something else."
        )
    for key in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "dropout"):
        if model.get(key):
            raise ExportError(f"A BPE tokenizer with {key}={model[key]!r} is not supported.")
    ids = _ids(document, model["vocab"], size)
    tokens, types = _placed(ids, _special_tokens(document), size)
    special_ids = _special_ids(ids)
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    return Vocabulary(
        model="gpt2",
        pre="roberta-bpe",
        tokens=tuple(tokens),
        types=tuple(types),
        special_ids=special_ids,
        flags=_frame(document, special_ids),
        merges=tuple(merges),
    )


_READERS: dict[str, Callable[[Json, int], Vocabulary]] = {
    "WordPiece": _wordpiece,
    "Unigram": _unigram,
    "BPE": _byte_level_bpe,
}


def _ids(document: Json, vocabulary: dict[str, int], size: int) -> dict[str, int]:
    """Ids of all tokens, added ones included."""
    ids = vocabulary | {row["content"]: row["id"] for row in document["added_tokens"]}
    for token, index in ids.items():
        if index >= size:
            raise ExportError(f"The token {token!r} has the id {index}; the model has {size} ids.")
    return ids


def _special_tokens(document: Json) -> frozenset[str]:
    return frozenset(row["content"] for row in document["added_tokens"] if row["special"])


def _special_ids(ids: dict[str, int]) -> dict[str, int]:
    return {
        role: ids[token]
        for token, roles in _ROLES_OF_TOKEN.items()
        for role in roles
        if token in ids
    }


def _placed(ids: dict[str, int], control: frozenset[str], size: int) -> tuple[list[str], list[int]]:
    """Tokens and their types by id."""
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [int(gguf.TokenType.UNUSED)] * size
    for token, index in ids.items():
        tokens[index] = token
        types[index] = int(gguf.TokenType.CONTROL if token in control else gguf.TokenType.NORMAL)
    return tokens, types


def _frame(document: Json, special_ids: dict[str, int]) -> dict[str, bool]:
    """That a text stands between <s> and </s>, the only frame that is supported."""
    frame = tokenizers.Tokenizer.from_str(json.dumps(document)).encode("").ids
    if frame != [special_ids.get("bos"), special_ids.get("eos")]:
        raise ExportError(f"The tokenizer puts the ids {frame} around a text, not <s> and </s>.")
    return {"add_bos_token": True, "add_eos_token": True, "add_sep_token": True}


def _bert_normalizer(normalizer: Json | None) -> tuple[bool, bool]:
    """Lowercase and strip accents; where the second is not stated it follows the first."""
    if normalizer is None or normalizer.get("type") != "BertNormalizer":
        raise ExportError("A WordPiece tokenizer without BertNormalizer is not supported.")
    lowercase = bool(normalizer["lowercase"])
    strip_accents = normalizer["strip_accents"]
    return lowercase, lowercase if strip_accents is None else bool(strip_accents)


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
