"""Circuit breaker round a backend (Nygard 2007, Release It!): a broken runtime is left alone.

A kept library was tried first: pybreaker holds its lock while it calls, so that no two runs could
overlap, and measures its pause on the wall clock, which can jump.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from engine.errors import BackendError, NotReadyError

Result = TypeVar("Result")


class BreakerState(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """They don't, until the pause is over."""
    HALF_OPEN = "half_open"
    """One does, and decides."""


class CircuitBreaker:
    """Opens after `failures` failed calls in a row; lets one try after each pause.

    Thread-safe; calls overlap freely while it is closed.
    """

    def __init__(
        self,
        *,
        failures: int,
        pause_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most_failures = failures
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self._trying = False

    @property
    def state(self) -> BreakerState:
        """Whether calls go through now."""
        with self._lock:
            if self._opened is None:
                return BreakerState.CLOSED
            waited = self._clock() - self._opened
            over = self._trying or waited >= self._pause_seconds
            return BreakerState.HALF_OPEN if over else BreakerState.OPEN

    def call(self, run: Callable[[], Result]) -> Result:
        """Call `run`, unless it is known to fail. Only a BackendError counts as a failure.

        Raises:
            NotReadyError: it is known to fail; says when to try again.
        """
        self._enter()
        try:
            result = run()
        except BackendError:
            self._leave(failed=True)
            raise
        except BaseException:
            self._leave(failed=None)
            raise
        self._leave(failed=False)
        return result

    def check(self) -> None:
        """Return if a call would go through.

        Raises:
            NotReadyError: it would not; says when to try again.
        """
        with self._lock:
            self._check()

    def obstacle(self) -> NotReadyError | None:
        """Why the backend is not sound: it failed, and no run succeeded since."""
        try:
            self.check()
        except NotReadyError as exc:
            return exc
        if self.state is BreakerState.CLOSED:
            return None
        return NotReadyError("The model is being tried again.", retry_after_seconds=1.0)

    def _check(self) -> None:
        if self._opened is None:
            return
        left = self._pause_seconds - (self._clock() - self._opened)
        if self._trying or left > 0:
            raise NotReadyError(
                "The model failed several times in a row and is given a pause.",
                retry_after_seconds=max(left, 1.0),
            )

    def _enter(self) -> None:
        with self._lock:
            self._check()
            self._trying = self._opened is not None

    def _leave(self, *, failed: bool | None) -> None:
        with self._lock:
            self._trying = False
            if failed is None:
                return
            if not failed:
                self._failures, self._opened = 0, None
                return
            self._failures += 1
            if self._failures >= self._most_failures:
                self._opened = self._clock()
