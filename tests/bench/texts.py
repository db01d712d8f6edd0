"""The loads: which texts are sent, in which order."""

from __future__ import annotations

from functools import cache

import tokenizers

from tests.bench.corpus import mixed_texts
from tests.bench.subjects import bundle_file

MIXED = 512
BULK = 2048
_MAX_TOKENS = 256
_SPARE = 1.2
"""Some texts have more tokens than the model takes, and are not sent."""
_STRIDE = 317
"""Near the golden section of MIXED and coprime to it: each run of texts has all lengths."""


@cache
def mixed(count: int = MIXED) -> tuple[str, ...]:
    """Texts of 5 to 256 tokens, so ordered that the first few are like the whole."""
    ordered = sorted(_fitting(MIXED, seed=20), key=len)
    spread = [ordered[place * _STRIDE % MIXED] for place in range(MIXED)]
    return tuple(spread[place % MIXED] for place in range(count))


def batches(size: int, count: int) -> list[tuple[str, ...]]:
    """So many requests of so many mixed texts; no text comes twice in one of up to 512."""
    texts = mixed(size * count)
    return [texts[place * size : (place + 1) * size] for place in range(count)]


@cache
def bulk() -> tuple[str, ...]:
    """2048 mixed texts, all different: a server must not be helped by repetition."""
    return tuple(_fitting(BULK, seed=21))


def _fitting(count: int, *, seed: int) -> list[str]:
    """Distinct texts that the model takes whole."""
    tokenizer = tokenizers.Tokenizer.from_file(str(bundle_file("tokenizer.json")))
    tokenizer.no_truncation()
    texts = list(dict.fromkeys(mixed_texts(round(count * _SPARE), seed=seed)))
    encodings = tokenizer.encode_batch(texts)
    fitting = [
        text
        for text, encoding in zip(texts, encodings, strict=True)
        if sum(encoding.attention_mask) <= _MAX_TOKENS
    ]
    if len(fitting) < count:
        raise ValueError(f"only {len(fitting)} of {len(texts)} texts fit; {count} are needed")
    return fitting[:count]
