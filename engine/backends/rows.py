"""Pure functions: lengths of sequences -> where each stands in the rows of one run."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

ROW_TOKENS = "embellama.row_tokens"
"""Key of what a graph says of itself where its `attention_mask` tells sequences of a row apart: how
many tokens a row may have."""
_PLACE_COST = 1600
"""What a place costs besides attention, in places of its row: each attends to all of them, though
only those of its own sequence count. Measured with all-MiniLM-L6-v2."""


class Place(NamedTuple):
    """Where a sequence stands: in this row, from this token on."""

    row: int
    start: int


class Rows(NamedTuple):
    """So many rows of one width, and where each sequence stands in them."""

    number: int
    width: int
    places: list[Place]

    @property
    def cost(self) -> int:
        """To compare rows of the same sequences by."""
        return self.number * self.width * (_PLACE_COST + self.width)


def one_a_row(lengths: Sequence[int]) -> Rows:
    """Each sequence in a row of its own."""
    return Rows(len(lengths), max(lengths), [Place(row, 0) for row in range(len(lengths))])


def share_rows(lengths: Sequence[int], *, widest: int) -> Rows:
    """Sequences side by side, in as many rows as cost least, none of them over `widest`.

    Few rows are long, which makes attention slow; many are filled badly. A sequence that is longer
    than `widest` makes rows as long as itself.
    """
    total, longest = sum(lengths), max(lengths)
    widest = max(widest, longest)
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    least = -(-total // longest)
    best = rows = _spread(lengths, order, least)
    while rows.width > longest:  # Once it is not, more rows only have more padding.
        rows = _spread(lengths, order, rows.number + _step(rows.number))
        best = _better(best, rows, widest)
    number = least - _step(least)
    # Once so few rows would cost more even without padding, fewer would as well.
    while number and total * (_PLACE_COST + total / number) < best.cost:
        best = _better(best, _spread(lengths, order, number), widest)
        number -= _step(number)
    return best


def _step(number: int) -> int:
    """To the next number of rows to try: of many, not all are."""
    return max(1, number // 8)


def _better(one: Rows, other: Rows, widest: int) -> Rows:
    return min(one, other, key=lambda rows: (rows.width > widest, rows.cost))


def _spread(lengths: Sequence[int], order: Sequence[int], number: int) -> Rows:
    """In this order, longest first, each into the row that has least (Graham 1969)."""
    ends = [(0, row) for row in range(number)]
    places = [Place(0, 0)] * len(lengths)
    for index in order:
        start, row = ends[0]
        places[index] = Place(row, start)
        heapq.heapreplace(ends, (start + lengths[index], row))
    return Rows(number, max(ends)[0], places)
