"""Writes log lines from a thread, so that a reader that stops never holds up the server."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, Self

_MOST_QUEUED = 4 * 1024 * 1024
"""Characters that may wait, each line with `_LINE_OVERHEAD`: about 12,000 lines of requests."""
_LINE_OVERHEAD = 64
_CHUNK_CHARACTERS = 64 * 1024
_PAUSE_SECONDS = 0.01
"""Between two writes. A lone line is written at once; at 500 requests a second five share a write,
and the thread takes the interpreter's lock a fifth as often."""


class LogStream(Protocol):
    """Where logs go: what structlog and the standard library's handlers need of a stream."""

    def write(self, text: str, /) -> object:
        """Write one or several whole lines."""
        ...

    def flush(self) -> None:
        """Hand over what was written."""
        ...

    def isatty(self) -> bool:
        """Whether a person reads it."""
        ...


class LogWriter:
    """A `LogStream` onto a file descriptor that never blocks and never raises.

    Lines are written in the order in which they came. What the bounded queue can't take, because
    the reader has stopped, is dropped and counted, and so is what can't be written: the reader has
    ended, the disk is full. The log says how many at that very place, as soon as it can be
    written again. Bytes go to the descriptor itself: a thread that is blocked within Python's own
    stream would abort the process at its end. Thread-safe; may be called in a signal handler.
    """

    def __init__(self, descriptor: int, *, most_queued: int = _MOST_QUEUED) -> None:
        """Write to a copy of `descriptor` from now on; at most so many characters wait."""
        self.render_dropped: Callable[[int], str] = "{} log lines dropped\n".format
        """Makes the line that tells how many were dropped."""
        self._descriptor = os.dup(descriptor)
        self._most_queued = most_queued
        self._lock = threading.RLock()  # A destructor that logs may run within `write`.
        self._has_lines = threading.Condition(self._lock)
        self._is_idle = False
        self._lines: list[str] = []
        self._queued = 0
        self._dropped = 0
        self._dropped_here = 0
        self._untold = 0
        self._is_cut = False
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="embellama-log", daemon=True)
        self._thread.start()

    @classmethod
    def to_stderr(cls) -> Self:
        """A writer to the process's standard error."""
        return cls(sys.stderr.fileno())

    @property
    def dropped(self) -> int:
        """How many lines were not written, all in all."""
        return self._dropped

    def write(self, text: str, /) -> None:
        """Queue a line, or drop it where too much waits or this is closed."""
        size = len(text) + _LINE_OVERHEAD
        with self._lock:
            if self._queued + size > self._most_queued or self._ending.is_set():
                self._dropped += 1
                self._dropped_here += 1
                return
            self._lines.append(text)
            self._queued += size
            if self._is_idle:
                self._is_idle = False
                self._has_lines.notify()

    def flush(self) -> None:
        """Do nothing: the thread writes what is queued."""

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return os.isatty(self._descriptor)

    def close(self, seconds: float) -> None:
        """Take no more lines, and wait until those that are queued are written, but no longer."""
        with self._lock:
            self._ending.set()
            self._has_lines.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        while True:
            lines, dropped = self._next_lines()
            if not lines:
                break
            self._tell_dropped()
            for chunk in _chunks(lines):
                if not self._send("".join(chunk)):
                    self._untold += len(chunk)
                    with self._lock:
                        self._dropped += len(chunk)
            self._untold += dropped  # They came after those of the full queue.
            self._tell_dropped()
            self._ending.wait(_PAUSE_SECONDS)
        os.close(self._descriptor)

    def _next_lines(self) -> tuple[list[str], int]:
        """Wait for lines and take all, and how many were dropped behind them; none at the end."""
        with self._lock:
            while not self._lines and not self._ending.is_set():
                self._is_idle = True
                self._has_lines.wait()
            lines, self._lines = self._lines, []
            dropped, self._dropped_here = self._dropped_here, 0
            self._queued = 0
            return lines, dropped

    def _tell_dropped(self) -> None:
        if self._untold and self._send(self.render_dropped(self._untold)):
            self._untold = 0

    def _send(self, text: str) -> bool:
        """Write all of it; False if it can't be written, or only in part."""
        rest = memoryview(
            (("\n" if self._is_cut else "") + text).encode("utf-8", "backslashreplace")
        )
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # Whoever started the process made the pipe so.
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()
            except OSError:
                return False
            self._is_cut = bool(rest)
        return True


def _chunks(lines: Sequence[str]) -> Iterator[Sequence[str]]:
    """The lines in parts of a bounded size, for few system calls and few lines lost with one."""
    start = size = 0
    for place, line in enumerate(lines):
        size += len(line)
        if size >= _CHUNK_CHARACTERS:
            yield lines[start : place + 1]
            start, size = place + 1, 0
    if start < len(lines):
        yield lines[start:]
