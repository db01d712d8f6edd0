"""How a process that we started is ended."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import Any


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
            process.wait()


def _send(process: subprocess.Popen[Any], number: signal.Signals, group: bool) -> None:
    if group:
        with suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, number)
    else:
        process.send_signal(number)
