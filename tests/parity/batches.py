"""Whether a vector depends on its batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine import Engine

MAX_ABS_DIFF_IN_BATCHES = 1e-5


def difference_in_batches(engine: Engine, texts: Sequence[str], seed: int) -> float:
    """The largest difference of a text's vector alone to that among others, in random order."""
    alone = np.concatenate([engine.embed(text).vectors for text in texts])
    rng = np.random.default_rng(seed)
    picked = rng.permutation(len(texts))[: rng.integers(2, len(texts) + 1)]
    together = engine.embed([texts[index] for index in picked]).vectors
    return float(np.abs(together - alone[picked]).max())
