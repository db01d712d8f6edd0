"""Rate limits of one process: a table of counts with a bound, which no request walks through."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from functions.observability import get_logger

_MOST_COUNTS = 100_000
"""One a client and kind of limit; they take about 30 MB."""
_SWEPT_AT_ONCE = 2
"""More than one, so that the table shrinks while new clients come."""


@dataclass(slots=True)
class _Count:
    """What a client took in its latest window and in the one before; windows are numbered."""

    window: int
    current: int = 0
    previous: int = 0

    def roll(self, window: int) -> None:
        """Go on to this window."""
        if window != self.window:
            self.previous = self.current if window == self.window + 1 else 0
            self.window, self.current = window, 0


class RateTable:
    """Sliding windows as `limits`' storages count them, each request in constant time.

    Each key that is taken from goes to the end, so those that have expired are at the front: a
    take removes at most two of them. Where the table is full of clients that are still limited,
    the one that was seen least recently is forgotten, and has a whole window's worth again; the
    log says so once in a window. To gain by that, an attacker needs more addresses than the table
    has places, and a client that asks often is never the one to be forgotten.
    """

    def __init__(
        self,
        *,
        most_counts: int = _MOST_COUNTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._most_counts = most_counts
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._quiet_until = -math.inf

    def __len__(self) -> int:
        return len(self._counts)

    async def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        """Take `amount` from the key's `limit` in `expiry` seconds; False if it does not fit."""
        now = self._clock()
        window = int(now // expiry)
        self._sweep(window)
        count = self._counts.get(key)
        if count is None:
            count = self._counts[key] = _Count(window)
            self._forget_one_too_many(now, expiry)
        else:
            self._counts.move_to_end(key)
            count.roll(window)
        used = count.previous * (1 - now % expiry / expiry) + count.current
        if math.floor(used) + amount > limit:
            return False
        count.current += amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """As `limits` has it: the previous count, its seconds, the current count, its seconds."""
        now = self._clock()
        rest = expiry - now % expiry
        count = self._counts.get(key)
        if count is None:
            return 0, 0.0, 0, rest + expiry
        count.roll(int(now // expiry))
        return count.previous, rest if count.previous else 0.0, count.current, rest + expiry

    def _sweep(self, window: int) -> None:
        """Remove the first keys if they count no longer, or are of a clock that was set back."""
        for _ in range(_SWEPT_AT_ONCE):
            key = next(iter(self._counts), None)
            if key is None or self._counts[key].window in (window - 1, window):
                return
            del self._counts[key]

    def _forget_one_too_many(self, now: float, expiry: int) -> None:
        if len(self._counts) <= self._most_counts:
            return
        self._counts.popitem(last=False)
        if now >= self._quiet_until:
            self._quiet_until = now + expiry
            get_logger().warning("rate limits forget clients", most=self._most_counts)
