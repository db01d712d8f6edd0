"""Bounds how long a request may take to begin, and its parts to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def close_when_idle(connection: HttpToolsProtocol) -> None:
    """Close a new connection like one that is kept alive, where no request begins in that time."""
    connection.timeout_keep_alive_task = connection.loop.call_later(
        connection.timeout_keep_alive, connection.timeout_keep_alive_handler
    )


class PartTimer:
    """Runs while a head, or what ends a body, has begun and has not ended.

    What comes in one piece, as nearly all do, never starts it. More bytes do not give more time.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, time_out: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._on_time_out = time_out
        self._handle: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor is its time up."""
        return self._handle is not None

    def start(self) -> None:
        """Call when the time is up; if it runs already, let it run."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._time_out)

    def stop(self) -> None:
        """The part has ended, or is given up."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _time_out(self) -> None:
        self._handle = None
        self._on_time_out()
