"""HTTP/1.1 by uvicorn and h11, where httptools is not installed; errors have the same shape."""

from __future__ import annotations

import sys
from functools import partial

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from functions.errors import HeadersTooLargeError
from functions.targets.refusal import MAX_HEAD_BYTES, malformed, refusing_cycle

_TOO_LARGE = 431
_SLICE_BYTES = 16 * 1024


class RefusingH11Protocol(H11Protocol):
    """Refuses what is malformed through the application. h11 itself bounds the head."""

    _has_refused = False

    def data_received(self, data: bytes) -> None:
        """Parse what came, in slices: h11 looks at its bound only where a head has not ended."""
        for start in range(0, len(data), _SLICE_BYTES):
            super().data_received(data[start : start + _SLICE_BYTES])

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words
        """Answer what h11 could not read. uvicorn calls it while it handles h11's error."""
        if self._has_refused:
            return  # More of the same has come.
        self._has_refused = True
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # Its body has no end, so nobody can answer it.
            self.cycle.message_event.set()
        exc = sys.exception()
        is_bound = isinstance(exc, h11.RemoteProtocolError) and exc.error_status_hint == _TOO_LARGE
        error = HeadersTooLargeError(limit=MAX_HEAD_BYTES) if is_bound else malformed()
        self.cycle = refusing_cycle(self, error, partial(RequestResponseCycle, conn=self.conn))
        task = self.loop.create_task(self.cycle.run_asgi(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a server may ignore an offer to upgrade (RFC 9110, section 7.8)."""
