"""Pure functions: lengths of sequences -> which of them run together."""

from __future__ import annotations

from collections.abc import Sequence


def plan_batches(
    lengths: Sequence[int], *, max_batch_tokens: int, max_batch_sequences: int, max_padding: float
) -> list[list[int]]:
    """Group sequences of similar length, longest first.

    A batch computes (its longest sequence) x (its number of sequences) tokens; that product
    is at most `max_batch_tokens`, except for a single sequence that alone is longer.
    `max_padding` bounds the share of those tokens that is padding, 0 <= share < 1.

    Args:
        lengths: tokens of each sequence, each >= 1.
        max_batch_tokens: budget of a batch, padding included.
        max_batch_sequences: most sequences of a batch.
        max_padding: largest share of padding; 0 puts only equal lengths together.

    Returns:
        Indices into `lengths`, each exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    useful = 0
    for index in order:
        if batches:
            batch = batches[-1]
            computed = lengths[batch[0]] * (len(batch) + 1)
            padding = 1 - (useful + lengths[index]) / computed
            if (
                len(batch) < max_batch_sequences
                and computed <= max_batch_tokens
                and padding <= max_padding
            ):
                batch.append(index)
                useful += lengths[index]
                continue
        batches.append([index])
        useful = lengths[index]
    return batches
