"""Pure functions: lengths of sequences -> which of them run together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold.

    A batch computes (its longest sequence) x (its number of sequences) tokens; that product is
    at most `max_batch_tokens`, except for a single sequence that alone is longer. What of it is
    padding is at most the share `max_padding`, 0 <= share < 1, and `free_padding_tokens` besides:
    a run costs as much as computing so many tokens before it computes the first, so joining two
    runs pays for some padding.

    With a `max_padding` of None, sequences of any lengths run together as well as equal ones, and
    a batch computes no more than the tokens of its sequences.
    """

    max_batch_tokens: int
    max_batch_sequences: int
    max_padding: float | None
    free_padding_tokens: int = 0

    def admit(self, *, sequences: int, longest: int, tokens: int) -> bool:
        """Whether so many sequences, with this longest one and sum of lengths, may run together."""
        computed = tokens if self.max_padding is None else longest * sequences
        allowed_padding = (self.max_padding or 0) * computed + self.free_padding_tokens
        return (
            sequences <= self.max_batch_sequences
            and computed <= self.max_batch_tokens
            and computed - tokens <= allowed_padding
        )


def plan_batches(lengths: Sequence[int], limits: BatchLimits) -> list[list[int]]:
    """Group sequences of similar length, longest first.

    Args:
        lengths: tokens of each sequence, each >= 1.
        limits: what one batch may hold.

    Returns:
        Indices into `lengths`, each exactly once.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    tokens = 0
    for index in order:
        length = lengths[index]
        if batches and limits.admit(
            sequences=len(batches[-1]) + 1, longest=lengths[batches[-1][0]], tokens=tokens + length
        ):
            batches[-1].append(index)
            tokens += length
        else:
            batches.append([index])
            tokens = length
    return batches
