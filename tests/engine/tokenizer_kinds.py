"""Tokenizers of all kinds that cut texts differently, and texts that are hard to cut."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers

from engine.testing import fake_tokenizer

_CHECKPOINTS = Path(__file__).parent.parent / "golden" / "checkpoints"
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def checkpoint(name: str) -> Tokenizer:
    return Tokenizer.from_file(str(_CHECKPOINTS / name / "tokenizer.json"))


def _cased_bert() -> Tokenizer:
    tokenizer = checkpoint("bert")
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    return tokenizer


def _composed_bert() -> Tokenizer:
    tokenizer = checkpoint("bert")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    return tokenizer


def _sentencepiece() -> Tokenizer:
    """As made of a GGUF file: white space is joined, and only spaces separate words."""
    tokenizer = checkpoint("xlm-roberta")
    joining = [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, *joining])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _first_metaspace() -> Tokenizer:
    tokenizer = checkpoint("xlm-roberta")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer


def _byte_level(*, form: str, pattern: str | None = None, prefix: bool = False) -> Tokenizer:
    tokenizer = checkpoint("roberta")
    tokenizer.normalizer = getattr(normalizers, form)()
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=pattern is None)
    tokenizer.pre_tokenizer = bytes_only
    if pattern is not None:
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_only])
    return tokenizer


def _with_added_tokens() -> Tokenizer:
    tokenizer = checkpoint("roberta")
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True, normalized=True),
            AddedToken("left", lstrip=True),
            AddedToken("<right>", rstrip=True),
            AddedToken("a,b"),
        ]
    )
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "WordPiece": lambda: checkpoint("bert"),
    "WordPiece, cased": _cased_bert,
    "WordPiece, NFKC": _composed_bert,
    "Unigram": lambda: checkpoint("xlm-roberta"),
    "Unigram of a GGUF file": _sentencepiece,
    "Unigram, first": _first_metaspace,
    "byte-level BPE": lambda: checkpoint("roberta"),
    "byte-level BPE, NFD": lambda: _byte_level(form="NFD"),
    "byte-level BPE, prefix space": lambda: _byte_level(form="NFC", prefix=True),
    "byte-level BPE of Qwen": lambda: _byte_level(form="NFC", pattern=QWEN_PATTERN),
    "added tokens": _with_added_tokens,
    "words": fake_tokenizer,
}


@cache
def kind(name: str) -> Tokenizer:
    """Shared between tests, which must not change it."""
    return KINDS[name]()


ALPHABET = (
    *"aaabcdtsZ19'.,;:-_/()+&#@*\"![]{}?=<>|%",
    *"     \n\n\t\r\x0b\x0c\x1c\x1f\u0085\u00a0\u2003\u2028\u200b\u200d\u180e\u3000\ufeff",
    *"\u0301\u0338\u3099\u20e3\ufe0f\u0600\u06dd\u0d4e\u0e33\u0903",
    *"\u00e9\u00c5\u013f\u0149\ufc5e\u037a\ufdfa\u00bd\u00b2\u2460\u1e9a\u0130\u03a3\u00df",
    *"\u4e2d\u6587\u3002\uff0c\uff1a\u304c\uac00\u1100\u1161\u0e01\u0915\U0001f600\U0001f468",
    *("the ", "word", "left", "<right>", "a,b", "<mask>", "[SEP]", "</s>", "\r\n", "'s", "``"),
)


def awkward_text(characters: int, seed: int) -> str:
    """A random text of about so many characters of `ALPHABET`, in which spaces are frequent."""
    chosen = random.Random(seed)  # noqa: S311 - no secret
    return "".join(chosen.choices(ALPHABET, k=characters))
