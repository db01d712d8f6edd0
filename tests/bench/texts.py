"""The loads: which texts are sent, in which order."""

from __future__ import annotations

from functools import cache

from tests.bench.corpus import mixed_texts

MIXED = 512
BULK = 2048
_STRIDE = 317
"""Near the golden section of MIXED and coprime to it: each run of texts has all lengths."""


@cache
def mixed(count: int = MIXED) -> tuple[str, ...]:
    """Texts of 5 to 256 tokens, so ordered that the first few are like the whole."""
    ordered = sorted(mixed_texts(MIXED), key=len)
    spread = [ordered[place * _STRIDE % MIXED] for place in range(MIXED)]
    return tuple(spread[place % MIXED] for place in range(count))


def batches(size: int, count: int) -> list[tuple[str, ...]]:
    """So many requests of so many mixed texts; no text comes twice in one of up to 512."""
    texts = mixed(size * count)
    return [texts[place * size : (place + 1) * size] for place in range(count)]


@cache
def bulk() -> tuple[str, ...]:
    """2048 mixed texts, all different: a server must not be helped by repetition."""
    return tuple(mixed_texts(BULK, seed=21))
