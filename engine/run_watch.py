"""Notices runs of the backend that do not come back.

Nothing can end such a run: it is in native code, on a thread that can't be killed. What can be
done is to say so, and to take no work that nobody would compute. If it does come back, all is as
before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.errors import NotReadyError
from engine.throughput import UNUSUAL, Throughput

LOST_AFTER = 5
"""A run that takes so many times what it may is taken for one that never comes back."""
_RETRY_AFTER_SECONDS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    started: float
    allowed_seconds: float


class RunWatch:
    """The runs that are under way, and how long each may take. Thread-safe.

    A run may take `limit_seconds`, or `UNUSUAL` times what its tokens took in the runs before, if
    that is more. `capacity` is how many can run beside each other. It has no thread: whoever asks
    looks at the clock.
    """

    def __init__(
        self,
        *,
        limit_seconds: float,
        capacity: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit_seconds = limit_seconds
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._runs: set[_Run] = set()
        self._speed = Throughput()

    @contextmanager
    def watch(self, tokens: int) -> Iterator[None]:
        """Watch a run of so many tokens while the block lasts."""
        with self._lock:
            expected = self._speed.seconds_for(tokens) or 0.0
            run = _Run(self._clock(), max(self._limit_seconds, UNUSUAL * expected))
            self._runs.add(run)
        computed = False
        try:
            yield
            computed = True
        finally:
            with self._lock:
                self._runs.discard(run)
                if computed:
                    self._speed.add(tokens, self._clock() - run.started)

    @property
    def hung(self) -> int:
        """How many runs take longer than they may."""
        return len(self._overdue())

    @property
    def is_lost(self) -> bool:
        """Whether nothing can be computed any more, in all likelihood for good."""
        return len(self._overdue(LOST_AFTER)) >= self._capacity

    def obstacle(self) -> NotReadyError | None:
        """Why the backend is not sound: at least one run hangs."""
        overdue = self._overdue()
        if not overdue:
            return None
        run = min(overdue, key=lambda run: run.started)
        return NotReadyError(
            f"A run of the model hangs: it has taken {self._clock() - run.started:.3g} s, and may "
            f"take {run.allowed_seconds:.3g} s.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )

    def check(self) -> None:
        """Return if there is a thread that can compute.

        Raises:
            NotReadyError: all of them hang.
        """
        if self._runs and self.hung >= self._capacity:
            obstacle = self.obstacle()
            if obstacle is not None:
                raise obstacle

    def _overdue(self, times: float = 1) -> list[_Run]:
        with self._lock:
            now = self._clock()
            return [run for run in self._runs if now - run.started > times * run.allowed_seconds]
