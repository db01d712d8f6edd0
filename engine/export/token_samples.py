"""Sequences of token ids that are made of a vocabulary alone, to see what a model computes.

Random ids say which channels of a model are large and which go together about as well as text
does; no text has to be found, chosen or shipped for it. Ids that are neighbours in a vocabulary
tend to be of one script, so half of the sequences take theirs from a small window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tokenizers

from engine.errors import IntegrityError, ManifestError
from engine.tokenizer import special_ids
from engine.types import IntArray

_LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128)
_SEQUENCES = 64
"""For each length."""
_WINDOW = 64
_EMPTY_WEIGHT = 25.0
"""The special tokens alone are the shortest input there is, and unlike all others."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenSample:
    """N sequences of T tokens: `ids` (N, T) int32. Each counts `weight` times, whatever its T."""

    ids: IntArray
    weight: float = 1.0


def sample_tokens(
    tokenizer_json: str, *, vocabulary_size: int, max_input_tokens: int
) -> Sequence[TokenSample]:
    """The special tokens alone, and 64 sequences for each length of 1, 2, 4 to 128 ids within them.

    The same arguments give the same ids.

    Raises:
        ManifestError: the tokenizer can't be read, or has no plain special tokens.
        IntegrityError: a special token is not one of `vocabulary_size` ids, or `max_input_tokens`
            leaves no room for any other.
    """
    prefix, suffix = _special_ids(tokenizer_json)
    special = np.concatenate([prefix, suffix])
    if special.size and int(special.max()) >= vocabulary_size:
        raise IntegrityError(
            f"The source states {vocabulary_size} token ids, but its tokenizer gives the id "
            f"{int(special.max())}."
        )
    room = max_input_tokens - special.size
    if room < 1:
        raise IntegrityError(
            f"max_input_tokens is {max_input_tokens}, but the special tokens alone are "
            f"{special.size}: there is no room for a text."
        )
    generator = np.random.default_rng(0)
    samples = [TokenSample(special[np.newaxis], _EMPTY_WEIGHT)] if special.size else []
    for length in _LENGTHS:
        if length <= room:
            ids = _ids(generator, vocabulary_size, length)
            framed = [np.broadcast_to(row, (_SEQUENCES, row.size)) for row in (prefix, suffix)]
            samples.append(TokenSample(np.concatenate([framed[0], ids, framed[1]], axis=1)))
    return samples


def _ids(generator: np.random.Generator, vocabulary_size: int, length: int) -> IntArray:
    """Ids (64, length): half of the rows each from a window, half from the whole vocabulary."""
    half = _SEQUENCES // 2
    window = min(_WINDOW, vocabulary_size)
    starts = generator.integers(0, vocabulary_size - window + 1, (half, 1))
    near = starts + generator.integers(0, window, (half, length))
    anywhere = generator.integers(0, vocabulary_size, (_SEQUENCES - half, length))
    return np.concatenate([near, anywhere]).astype(np.int32)


def _special_ids(tokenizer_json: str) -> tuple[IntArray, IntArray]:
    try:
        tokenizer = tokenizers.Tokenizer.from_str(tokenizer_json)
    except Exception as exc:  # the library raises plain Exception
        raise ManifestError(f"The source's tokenizer can't be read: {exc}") from exc
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return special_ids(tokenizer)
