"""Work beside the event loop that must not keep the process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import NoReturn, TypeVar

T = TypeVar("T")


def in_background(run: Callable[[], T], *, name: str) -> Future[T]:
    """Run in a thread of its own, which ends with the process."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # From now on it can't be cancelled.

    def target() -> None:
        try:
            found = run()
        except BaseException as exc:  # noqa: BLE001 - handed over to whoever reads the future
            future.set_exception(exc)
        else:
            future.set_result(found)

    threading.Thread(target=target, name=name, daemon=True).start()
    return future


def end_process(code: int) -> NoReturn:
    """End the process with this exit code, whatever threads of `in_background` still do.

    Where one may be in a library of C++, the interpreter is not taken apart: the thread would
    come back to an interpreter that is gone, which unwinds its stack, and C++ then aborts the
    process. So nothing registered with `atexit` runs, which nothing here relies on.
    """
    if not any(thread.daemon for thread in threading.enumerate()):
        sys.exit(code)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # Nobody reads it, or it is closed.
            stream.flush()
    os._exit(code)
