"""Compares a tokenizer that was made of a GGUF vocabulary with others, on the golden texts.

The server never gives text to llama.cpp, so where the two differ, the model's own algorithm is
followed. That they agree otherwise shows that the vocabulary was read rightly. The differences
that are known are listed here by cause; a difference of any other cause is an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Protocol

import tokenizers

from engine.errors import ConfigurationError, ExportError
from engine.export.golden_maker import golden_texts
from engine.export.progress import Progress
from engine.verify import missing_runtime

_OVER_LONG_WORD = re.compile(r"\S{101,}")
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]+")
_SHOWN_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class KnownDifference:
    """A cause, and the function that takes what causes it out of a text."""

    cause: str
    without: Callable[[str], str]


def _without_category(category: str) -> Callable[[str], str]:
    def without(text: str) -> str:
        return "".join(char for char in text if unicodedata.category(char) != category)

    return without


KNOWN_DIFFERENCES: Mapping[str, tuple[KnownDifference, ...]] = {
    "WordPiece": (
        KnownDifference(
            "a word of more than 100 characters is one unknown token, llama.cpp splits it",
            lambda text: _OVER_LONG_WORD.sub(" ", text),
        ),
        KnownDifference(
            "U+0085 is dropped, llama.cpp splits words there",
            lambda text: text.replace("\u0085", ""),
        ),
        KnownDifference(
            "Hangul syllables are decomposed into letters, llama.cpp leaves them whole",
            lambda text: _HANGUL.sub(" ", text),
        ),
        KnownDifference(
            "spacing vowel signs (category Mc) are kept, llama.cpp drops them",
            _without_category("Mc"),
        ),
    ),
    "Unigram": (
        KnownDifference(
            "of a letter with several combining marks those that the character map does not know "
            "are dropped, llama.cpp keeps them",
            _without_category("Mn"),
        ),
    ),
}
"""By the type of the tokenizer's model. Checked with llama-cpp-python 0.3.36."""


class GivesIds(Protocol):
    """Another tokenizer."""

    def __call__(self, text: str) -> list[int]:
        """Ids of a text, special tokens included."""
        ...


def compare_with_llama_cpp(
    tokenizer: tokenizers.Tokenizer, path: Path, progress: Progress
) -> tuple[str, ...]:
    """Compare with llama.cpp's own tokenizer of the same GGUF file.

    Returns:
        One note for each golden text that differs for known causes, or one that says why nothing
        was compared; all are told to `progress`, too.

    Raises:
        ExportError: a text differs for no known cause.
    """
    reason = missing_runtime("gguf")
    if reason is None:
        try:
            notes = _compare(tokenizer, path)
        except ConfigurationError as exc:
            reason = exc.message
    if reason is not None:
        notes = (f"the tokenizer was not compared with llama.cpp's: {reason}",)
    for note in notes:
        progress(note)
    return notes


def _compare(tokenizer: tokenizers.Tokenizer, path: Path) -> tuple[str, ...]:
    from engine.backends.gguf import LlamaVocabulary

    vocabulary = LlamaVocabulary(path)
    try:
        return known_differences(
            tokenizer, lambda text: vocabulary.tokenize(text, parse_special=True)
        )
    finally:
        vocabulary.close()


def known_differences(tokenizer: tokenizers.Tokenizer, other: GivesIds) -> tuple[str, ...]:
    """A note for each golden text that `other` tokenizes otherwise.

    Raises:
        ExportError: a text differs for no known cause, or also without what causes it.
    """
    kind = type(tokenizer.model).__name__
    causes = KNOWN_DIFFERENCES.get(kind, ())
    notes = []
    for name, text in golden_texts():
        if tokenizer.encode(text).ids == other(text):
            continue
        found = [row for row in causes if row.without(text) != text]
        rest = text
        for row in found:
            rest = row.without(rest)
        if not found or tokenizer.encode(rest).ids != other(rest):
            raise ExportError(_unknown_difference(name, rest, tokenizer, other))
        reasons = "; ".join(row.cause for row in found)
        notes.append(f"llama.cpp tokenizes the golden text {name!r} otherwise: {reasons}")
    return tuple(notes)


def difference_to_own(made: tokenizers.Tokenizer, tokenizer_json: str) -> tuple[str, ...]:
    """A note if the tokenizer that was made of GGUF is not quite the checkpoint's own.

    The bundle has the checkpoint's own, so nothing is wrong with it; only who exports its GGUF
    file alone gets another tokenizer, and so another space.
    """
    own = tokenizers.Tokenizer.from_str(tokenizer_json)
    texts = golden_texts()
    other = [name for name, text in texts if made.encode(text).ids != own.encode(text).ids]
    if not other:
        return ()
    note = (
        "a tokenizer made of the GGUF file alone gives other ids than tokenizer.json for "
        f"{len(other)} of {len(texts)} golden texts: {', '.join(other)}"
    )
    return (note,)


def _unknown_difference(
    name: str, text: str, tokenizer: tokenizers.Tokenizer, other: GivesIds
) -> str:
    ours, theirs = (
        tokenizer.encode(text).tokens,
        [tokenizer.id_to_token(index) or f"id {index}" for index in other(text)],
    )
    pairs = enumerate(zip_longest(ours, theirs))
    at = next(index for index, (left, right) in pairs if left != right)
    start, end = max(0, at - 2), at + 4
    return (
        f"The tokenizer made of the GGUF file differs from llama.cpp's for no known cause on the "
        f"golden text {name!r}: {text[:_SHOWN_CHARACTERS]!r}. At token {at}: {ours[start:end]} "
        f"here, {theirs[start:end]} there. Take a source that has its tokenizer.json."
    )
