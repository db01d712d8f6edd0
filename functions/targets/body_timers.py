"""Bounds how slowly a body may come, and its trailers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import EmbellamaError
from functions.targets.timers import PartTimer
from functions.wire_errors import BodyTimeoutError, SlowBodyError


@dataclass(frozen=True, slots=True)
class BodyPace:
    """How fast a body must come."""

    trailer_seconds: float
    """For the trailers, or what else follows the size of a chunk."""
    grace_seconds: float
    """The time over which the rate is measured."""
    min_bytes_per_second: int


class BodyTimers:
    """Run while a body has begun and has not ended. One that comes at once never starts them.

    Args:
        loop: where they run.
        pace: how fast it must come.
        received: the bytes of the body, so far.
        is_late: whether the client is waited for, and not the server.
        refuse: called with what is to be answered, once.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pace: BodyPace,
        *,
        received: Callable[[], int],
        is_late: Callable[[], bool],
        refuse: Callable[[EmbellamaError], None],
    ) -> None:
        self._pace = pace
        self._received = received
        self._is_late = is_late
        self._refuse = refuse
        self._trailers = PartTimer(loop, pace.trailer_seconds, self._time_out_trailers)
        self._data = PartTimer(loop, pace.grace_seconds, self._look)
        self._before = 0

    def start(self, *, is_in_trailers: bool) -> None:
        """More may come. What runs already runs on."""
        if not self._data.is_running:
            self._before = self._received()
            self._data.start()
        if is_in_trailers:
            self._trailers.start()
        else:
            self._trailers.stop()

    def stop(self) -> None:
        """The body has ended, or is given up."""
        self._data.stop()
        self._trailers.stop()

    def _time_out_trailers(self) -> None:
        if self._is_late():
            self._refuse(BodyTimeoutError(what="trailers", seconds=self._pace.trailer_seconds))
        else:
            self._trailers.start()

    def _look(self) -> None:
        seconds, rate = self._pace.grace_seconds, self._pace.min_bytes_per_second
        received = self._received()
        if received - self._before < rate * seconds and self._is_late():
            self._refuse(SlowBodyError(bytes_per_second=rate, seconds=seconds))
            return
        self._before = received
        self._data.start()
