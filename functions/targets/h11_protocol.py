"""HTTP/1.1 by uvicorn and h11, where httptools is not installed; errors have the same shape."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from functions.errors import HeadersTooLargeError
from functions.targets.head_timer import HeadTimer, close_when_idle
from functions.targets.joining import JoiningTransport
from functions.targets.refusal import MAX_HEAD_BYTES, Refusal, malformed, refusing_cycle

_TOO_LARGE = 431
_SLICE_BYTES = 16 * 1024


class RefusingH11Protocol(H11Protocol):
    """Refuses what is malformed, or comes too slowly, through the application.

    h11 itself bounds the size of a head. Idle is what `BoundedHttpToolsProtocol` says.
    """

    head_timeout_seconds = 30.0
    """Seconds that a head may take to come."""

    _has_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be idle."""
        joining = JoiningTransport(cast("asyncio.Transport", transport), self.loop)
        super().connection_made(cast("asyncio.Transport", joining))
        self._head_timer = HeadTimer(self.loop, self.head_timeout_seconds, self._refuse)
        close_when_idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; no timer keeps this alive."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._head_timer.stop()

    def data_received(self, data: bytes) -> None:
        """Parse what came, in slices: h11 looks at its bound only where a head has not ended."""
        for start in range(0, len(data), _SLICE_BYTES):
            if self._has_refused:
                return
            self.conn.receive_data(data[start : start + _SLICE_BYTES])
            self.handle_events()

    def handle_events(self) -> None:
        """Begin to answer what has come; bound the time of a head that has begun.

        h11 does not go on to the next head before the request before it is answered.
        """
        super().handle_events()
        is_in_head = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if is_in_head and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._head_timer.start()
        else:
            self._head_timer.stop()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Answer what h11 could not read. uvicorn calls it while it handles h11's error."""
        exc = sys.exception()
        is_bound = isinstance(exc, h11.RemoteProtocolError) and exc.error_status_hint == _TOO_LARGE
        self._refuse(HeadersTooLargeError(limit=MAX_HEAD_BYTES) if is_bound else malformed())

    def _refuse(self, error: Refusal) -> None:
        """Answer with this error, if that is still possible, and read no more."""
        self._has_refused = True
        self._head_timer.stop()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # Its body has no end, so nobody can answer it.
            self.cycle.message_event.set()
        if self.conn.our_state is h11.IDLE:
            self.headers = []  # Those that are there are of the request before.
        self.cycle = refusing_cycle(self, error, partial(RequestResponseCycle, conn=self.conn))
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a server may ignore an offer to upgrade (RFC 9110, section 7.8)."""
