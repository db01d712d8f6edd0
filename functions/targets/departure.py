"""Tells a client that sends no more from one that has gone: both end their direction the same."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_FIRST_SECONDS = 0.1
"""So long nothing is asked: an answer to a query comes sooner, and a client that has gone costs no
more than this of work in vain."""
_ROUND_TRIP_SECONDS = 0.05
"""In which a reset comes back from most clients; a later one is seen before the next question."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_SILENT_SECONDS = 1.0
"""A client that can't be asked has this long to get its answer; then it is taken for gone."""


class DepartureWatch:
    """Runs from the end of what a client sends until it is answered.

    A system answers data for a connection that was closed by a reset, and data for one that still
    reads by nothing. So from time to time, ever less often, an interim answer is sent, which
    clients of HTTP/1.1 read over (RFC 9110, section 15.2). Those of HTTP/1.0, nginx by default
    among them, don't know it, nor can it be sent before an answer that others precede.

    Args:
        loop: where it runs.
        transport: the connection.
        may_ask: whether an interim answer can be sent now.
        has_begun: whether the last answer to come is being sent, so that a reset will tell.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        *,
        may_ask: Callable[[], bool],
        has_begun: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._may_ask = may_ask
        self._has_begun = has_begun
        self._began = loop.time()
        self._seconds = _FIRST_SECONDS
        self._handle = loop.call_later(self._seconds, self._ask)

    def stop(self) -> None:
        """It is answered, or the connection has ended."""
        self._handle.cancel()

    def _ask(self) -> None:
        if self._has_gone():
            return
        if self._may_ask():
            self._transport.write(_CONTINUE)
        elif not self._has_begun() and self._loop.time() - self._began >= _SILENT_SECONDS:
            self._transport.abort()
            return
        self._handle = self._loop.call_later(_ROUND_TRIP_SECONDS, self._hear)

    def _hear(self) -> None:
        if not self._has_gone():
            self._handle = self._loop.call_later(self._seconds, self._ask)
            self._seconds *= 2 if self._may_ask() else 1

    def _has_gone(self) -> bool:
        """Whether a reset came; then the connection ends, and its work with it."""
        connection = self._transport.get_extra_info("socket")
        if not connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        self._transport.abort()
        return True
