"""Work beside the event loop that must not keep the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
