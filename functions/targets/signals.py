"""What the server does at signals, from the first line of the program to its last.

    SIGTERM, SIGINT, SIGQUIT, SIGHUP   drain; end at once where nothing listens yet
    the same again                     end at once, but for SIGHUP, which terminals send twice
    SIGUSR1, SIGUSR2                   nothing but a line in the log

What a parent had ignored stays ignored, as for every program that respects `nohup` and a shell's
background jobs; SIGTERM alone is always taken, as it is what orchestrators send.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP")
_IGNORED = ("SIGUSR1", "SIGUSR2")
"""By default they kill, and tools that rotate logs send them."""


def end_at_once_when_told() -> None:
    """Until the server takes over, a signal ends the process with 0: nothing is in flight.

    Imports alone take a second. Called before them; in no thread but the main one.
    """
    for number in _taken():
        signal.signal(number, _end)
    for number in _known(_IGNORED):
        signal.signal(number, _pass)


class StopSignals:
    """Keeps what was told to the server, which looks when it can: a handler interrupts anything."""

    def __init__(self, before_end: Callable[[], object]) -> None:
        """`before_end` is called where a signal ends the process at once."""
        self.listening = False
        """Whether there may be requests to finish."""
        self.first: signal.Signals | None = None
        """What began the drain."""
        self._ignored: list[signal.Signals] = []
        self._before_end = before_end

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals while the block runs; in threads other than the main one, none come."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = dict.fromkeys(_taken(), self._stop)
        handlers |= dict.fromkeys(_known(_IGNORED), self._ignore)
        before = {number: signal.signal(number, taken) for number, taken in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pop_ignored(self) -> list[signal.Signals]:
        """The signals that came since and do nothing."""
        found, self._ignored = self._ignored, []
        return found

    def _stop(self, number: int, _: FrameType | None) -> None:
        if not self.listening:
            self._before_end()
            os._exit(os.EX_OK)
        elif self.first is None:
            self.first = signal.Signals(number)
        elif signal.Signals(number).name != "SIGHUP":
            self._before_end()
            os._exit(128 + number)

    def _ignore(self, number: int, _: FrameType | None) -> None:
        self._ignored.append(signal.Signals(number))


def _known(names: tuple[str, ...]) -> list[signal.Signals]:
    """Those that this platform has."""
    return [signal.Signals[name] for name in names if name in signal.Signals.__members__]


def _taken() -> list[signal.Signals]:
    return [
        number
        for number in _known(_ENDING)
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    ]


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(os.EX_OK)


def _pass(_number: int, _frame: FrameType | None) -> None:
    pass
