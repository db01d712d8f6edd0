"""How processes are started and ended by tests: with default signals, and within a time."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_OFTEN_IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
_KILLED_SECONDS = 30
"""How long the kernel may take to end what was killed."""


def let_children_have_default_signals() -> None:
    """Whatever this process was told to ignore, what it starts has the default of each signal.

    A shell lets its background jobs ignore SIGINT and SIGQUIT, `nohup` SIGHUP, and children
    inherit what is ignored, but not what has a handler. So this process goes on ignoring them by
    a handler that does nothing.
    """
    for number in _OFTEN_IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@contextmanager
def ignored(*numbers: signal.Signals) -> Iterator[None]:
    """What starts while the block runs ignores these signals, as below `nohup` or a shell's `&`."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end(
    process: subprocess.Popen[Any],
    number: signal.Signals = signal.SIGTERM,
    *,
    seconds: float = 30,
    group: bool = False,
) -> None:
    """Send the signal and wait; kill what has not ended in time. Nothing is left of it.

    With `group` it is sent to all processes of the group that it leads. Its pipes stay open: the
    process's own `with` block closes them.

    Raises:
        subprocess.TimeoutExpired: it had to be killed.
    """
    _send(process, number, group)
    try:
        process.wait(seconds)
    finally:
        if process.returncode is None:
            _send(process, signal.SIGKILL, group)
            process.wait(_KILLED_SECONDS)


def _send(process: subprocess.Popen[Any], number: signal.Signals, group: bool) -> None:
    if group:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, number)
    else:
        process.send_signal(number)
