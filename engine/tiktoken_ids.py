"""Decodes the token ids of OpenAI's encodings, which clients of OpenAI send in place of text.

The vocabularies are data files of the package bpe-openai, read without importing it. Their hashes
are those that tiktoken has in its `tiktoken_ext/openai_public.py`, and so are the special tokens.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import importlib.util
from binascii import a2b_base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from engine.errors import (
    ConfigurationError,
    InvalidInputError,
    MalformedTextError,
    TokenIdError,
)
from engine.inputs import param_of
from engine.pieces import Steps
from engine.token_ids import read_ids
from engine.types import IntArray, TokenIds

LONGEST_TOKEN_BYTES = 128
"""Both encodings have a token of so many spaces."""
_PACKAGE = "bpe_openai"
_MOST_TEXT_BYTES = 2**24
"""Of one request: its body of 14 MB could have ids of 300 MB of spaces. No other thread runs while
a text is decoded: 16 MB with one emoji take 70 ms."""
_STEP_IDS = 16_384
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class _Encoding:
    """What tiktoken says of an encoding: the hash of its ranks, and the ids above them."""

    sha256: str
    special_tokens: dict[int, str]


_ENCODINGS = {
    TokenIds.CL100K_BASE: _Encoding(
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        {
            100257: "<|endoftext|>",
            100258: "<|fim_prefix|>",
            100259: "<|fim_middle|>",
            100260: "<|fim_suffix|>",
            100276: "<|endofprompt|>",
        },
    ),
    TokenIds.O200K_BASE: _Encoding(
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        {199999: "<|endoftext|>", 200018: "<|endofprompt|>"},
    ),
}


@dataclass(frozen=True, slots=True)
class DecodedText:
    """A text, and whether its first or last character was cut in two."""

    text: str
    is_cut: bool


class TiktokenVocabulary:
    """The bytes of each token of one of OpenAI's encodings. Thread-safe."""

    def __init__(self, name: str, tokens: list[bytes]) -> None:
        self.name = name
        self._tokens = tokens
        self._lengths = np.fromiter(map(len, tokens), np.int32, len(tokens))

    @property
    def size(self) -> int:
        """One more than the largest id; some below it may be of no token."""
        return len(self._tokens)

    def check(self, ids: IntArray, param: str) -> int:
        """How many bytes of text these ids, all below `size`, stand for.

        Raises:
            TokenIdError: an id is of no token.
        """
        lengths = self._lengths[ids]
        if not lengths.all():
            wrong = int(ids[np.argmin(lengths)])
            raise TokenIdError(
                param=param, token_id=wrong, vocabulary_size=self.size, encoding=self.name
            )
        return int(lengths.sum())

    def decode(self, ids: IntArray, param: str) -> Steps[DecodedText]:
        """The text of ids that `check` took, in steps.

        Clients cut long texts between tokens, of which some hold a part of a character. What is
        cut off from a character at the start or the end is left out; where nothing else is there,
        U+FFFD stands for it, as one such window must not cost a client its whole batch.

        Raises:
            MalformedTextError: the bytes in between are not UTF-8.
        """
        parts = []
        for start in range(0, ids.size, _STEP_IDS):
            some = ids[start : start + _STEP_IDS].tolist()
            yield len(some)
            parts.append(b"".join([self._tokens[token] for token in some]))
        return _text_of(b"".join(parts), param)


def decode_inputs(
    vocabulary: TiktokenVocabulary, items: Sequence[object], single: bool
) -> Steps[tuple[list[str], set[int]]]:
    """The texts of a request's ids, and in which of them a character was cut in two, in steps.

    Raises:
        InvalidInputError: an item is not a list of ids, or all are of too much text; and see
            `TiktokenVocabulary`.
    """
    texts: list[str] = []
    cut: set[int] = set()
    left = _MOST_TEXT_BYTES
    for index, item in enumerate(items):
        param = param_of(index, single)
        ids = yield from read_ids(item, param, vocabulary.size, vocabulary.name)
        left -= vocabulary.check(ids, param)
        if left < 0:
            raise InvalidInputError(
                f"The token ids of input are of more than {_MOST_TEXT_BYTES} bytes of text, which "
                "is what a request takes at most. Split it.",
                param="input",
            )
        decoded = yield from vocabulary.decode(ids, param)
        texts.append(decoded.text)
        if decoded.is_cut:
            cut.add(index)
    return texts, cut


def _text_of(text: bytes, param: str) -> DecodedText:
    start = next((at for at, byte in enumerate(text[:3]) if byte & 0xC0 != 0x80), min(3, len(text)))
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoded = decoder.decode(text[start:])
    except UnicodeDecodeError as exc:
        raise MalformedTextError(
            f"{param} has token ids whose bytes are not UTF-8, at byte {start + exc.start}.",
            param=param,
        ) from None
    is_cut = start > 0 or bool(decoder.getstate()[0])
    return DecodedText(decoded or _REPLACEMENT, is_cut)


@cache
def open_vocabulary(name: TokenIds) -> TiktokenVocabulary:
    """Read the vocabulary of an encoding: 0.2 to 0.4 s, and 10 to 20 MB that stay.

    Raises:
        ConfigurationError: the package that has it is not installed, or has another file.
    """
    encoding = _ENCODINGS[name]
    ranks = _ranks(name)
    if hashlib.sha256(ranks).hexdigest() != encoding.sha256:
        raise ConfigurationError(
            f"token_ids={name} can't be honoured: the installed package bpe-openai has another "
            "vocabulary than OpenAI's. Install the extra 'tiktoken-ids' anew."
        )
    # "BASE64 RANK" a line, by rising rank from 0 on, without gaps.
    tokens = [a2b_base64(line.partition(b" ")[0]) for line in ranks.splitlines()]
    tokens += [b""] * (max(encoding.special_tokens) + 1 - len(tokens))
    for token_id, text in encoding.special_tokens.items():
        tokens[token_id] = text.encode()
    return TiktokenVocabulary(name.value, tokens)


def _ranks(name: TokenIds) -> bytes:
    package = importlib.util.find_spec(_PACKAGE)
    for directory in (package and package.submodule_search_locations) or ():
        try:
            packed = (Path(directory) / "data" / f"{name}.tiktoken.gz").read_bytes()
            return gzip.decompress(packed)
        except (OSError, EOFError, ValueError):  # none here, or a broken one
            continue
    raise ConfigurationError(
        f"token_ids={name} needs the vocabulary in the package bpe-openai: install the extra "
        "'tiktoken-ids'."
    )
