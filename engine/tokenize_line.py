"""The thread that tokenizes long inputs: in steps, in turns, and only as long as they are wanted.

Steps are shared fairly between requests, as batches are (`engine.waiting`): virtual time advances
by the characters of a step divided by the number of requests that wait, and the request whose next
step would end first in virtual time is served next. A short text does not wait for long ones that
came first, but for the step that runs.
"""

from __future__ import annotations

import heapq
import threading
import time
import weakref
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from engine.errors import OverloadedError, ShuttingDownError
from engine.pieces import Steps
from engine.throughput import Throughput

T = TypeVar("T")
_UNKNOWN_WAIT_SECONDS = 1.0
_CHARACTERS_A_TOKEN = 4
_numbers = count()


class TokenizeLine:
    """Runs the steps of all requests on one thread, which starts with the first.

    `max_tokens` bounds what waits: text counts as a token for each four characters. Alone, a
    request is always taken.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_characters = _CHARACTERS_A_TOKEN * max_tokens
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._heap: list[_Job] = []
        self._characters = 0
        self._virtual_time = 0.0
        self._throughput = Throughput()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, steps: Steps[T], *, characters: int) -> Future[T]:
        """Take work that has about so many characters; cancelling the future drops what is left.

        Raises:
            OverloadedError: so much waits that this does not fit.
            ShuttingDownError: the line was closed.
        """
        job = _Job(steps, characters)
        with self._lock:
            if self._closed:
                raise _shutting_down()
            self._check_load(characters)
            job.virtual_finish = self._virtual_time
            heapq.heappush(self._heap, job)
            self._characters += characters
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="embellama-tokenize", daemon=True
                )
                self._thread.start()
            self._changed.notify()
        # A weak one, or the job and its future would keep each other and the text alive.
        reference = weakref.ref(job)
        job.future.add_done_callback(
            lambda future: self._drop(reference()) if future.cancelled() else None
        )
        return job.future

    def close(self) -> None:
        """Refuse what waits, finish the step that runs, end the thread."""
        with self._lock:
            self._closed = True
            waiting, self._heap = self._heap, []
            self._characters -= sum(job.characters for job in waiting)
            self._changed.notify_all()
        for job in waiting:
            job.fail(_shutting_down())
        if self._thread is not None:
            self._thread.join()

    def _check_load(self, characters: int) -> None:
        waiting = self._characters
        if waiting and waiting + characters > self._max_characters:
            rate = self._throughput.tokens_per_second
            too_many = min(waiting, waiting + characters - self._max_characters)
            raise OverloadedError(
                "Too much text waits to be tokenized. Try again later.",
                retry_after_seconds=too_many / rate if rate else _UNKNOWN_WAIT_SECONDS,
            )

    def _work(self) -> None:
        while self._run_next():
            pass

    def _run_next(self) -> bool:
        """Run one step; False when there will be no more.

        A method of its own, so that an idle thread does not keep the text of its last request.
        """
        job = self._next()
        if job is None:
            return False
        step, started = job.step_characters, time.perf_counter()
        goes_on = job.advance()
        seconds = time.perf_counter() - started
        with self._lock:
            if step:
                self._throughput.add(step, seconds)
            if goes_on and not self._closed and not job.future.cancelled():
                job.virtual_finish += job.step_characters
                heapq.heappush(self._heap, job)
                return True
            self._characters -= job.characters
        if goes_on:
            job.fail(_shutting_down())  # Nothing where it was cancelled.
        del job  # An error's traceback has this frame, too; see `_Job.advance`.
        return True

    def _next(self) -> _Job | None:
        with self._lock:
            while not self._heap:
                if self._closed:
                    return None
                self._changed.wait()
            self._virtual_time += self._heap[0].step_characters / len(self._heap)
            return heapq.heappop(self._heap)

    def _drop(self, job: _Job | None) -> None:
        with self._lock:
            if job is None or job not in self._heap:
                return  # It runs, or has run.
            self._heap.remove(job)
            heapq.heapify(self._heap)
            self._characters -= job.characters
        job.steps.close()


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Job:
    """The work of one request. `step_characters` are those of its next step."""

    steps: Steps[Any]
    characters: int
    step_characters: int = 0
    virtual_finish: float = 0.0
    number: int = field(default_factory=_numbers.__next__)
    future: Future[Any] = field(default_factory=Future)

    def __lt__(self, other: _Job) -> bool:
        mine = (self.virtual_finish, self.number)
        return mine < (other.virtual_finish, other.number)

    def advance(self) -> bool:
        """Run the next step; whether there is another. Else the future has its outcome."""
        try:
            self.step_characters = next(self.steps)
        except StopIteration as stop:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(stop.value)
            return False
        except BaseException as exc:  # noqa: BLE001 - whoever waits for it is to have it
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(exc)
            del self  # Or its traceback, the error and the future would keep each other.
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Give up what is left."""
        self.steps.close()
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def _shutting_down() -> ShuttingDownError:
    return ShuttingDownError("The server is shutting down.", retry_after_seconds=1.0)
