"""A connection among others: its place, what it holds, and how its client reads and leaves."""

from __future__ import annotations

import asyncio
from typing import cast

from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from functions.observability import get_logger, is_probe
from functions.targets.connection_limits import FREE_BYTES, ConnectionLimits, Place
from functions.targets.departure import DepartureWatch
from functions.targets.httptools_protocol import BoundedHttpToolsProtocol
from functions.targets.refusal import refuse_cycle
from functions.targets.timers import PartTimer
from functions.wire_errors import TooManyBodyBytesError, TooManyConnectionsError

_EXTRA_SECONDS = 5.0
"""How long a connection beyond the limit may last: a probe is answered in milliseconds."""
MAX_PIPELINED = 16
"""Requests that may wait on one connection for the answers before them: each takes 3 KB, and can be
sent in 30 bytes. Hardly a client sends any ahead."""


class LimitedProtocol(BoundedHttpToolsProtocol):
    """Refuses, by the limits of its server, connections and bytes of unfinished requests."""

    limits: ConnectionLimits

    _place = Place.NONE
    _extra_timer: asyncio.TimerHandle | None = None
    _departure: DepartureWatch | None = None
    """Since the client sends no more."""
    _running: RequestResponseCycle | None = None
    """The request that is being answered, or was the last to be."""
    _unanswered_bytes = 0
    """What was read since nothing was unanswered on this connection."""
    _held_bytes = 0
    """How much of it is counted in the limits."""
    _unread_before = 0
    """What waited to be read when its pace was looked at last."""
    _is_room_checked = False
    """Whether the declared length of the body that comes was compared with the room there is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place."""
        super().connection_made(transport)
        self._unread_timer = PartTimer(self.loop, self.body_grace_seconds, self._look_at_unread)
        self._place = self.limits.take_place()
        if self._place is Place.FULL:
            self.limits.set_idle(self)
        elif self._place is Place.PROBES_ONLY:
            self._extra_timer = self.loop.call_later(_EXTRA_SECONDS, self.transport.abort)
        else:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what was taken."""
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True  # uvicorn tells only the last of several requests
            self._running.message_event.set()
        if self._extra_timer is not None:
            self._extra_timer.cancel()
        if self._departure is not None:
            self._departure.stop()
        self._unread_timer.stop()
        self.limits.set_unread(self, 0)
        self.limits.set_busy(self)
        self._give_place()
        self._release()

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn's never keeps it open
        """Whether to stay open: who sends no more may wait for the answers (RFC 9112, section 9.6).

        TLS has no such thing in Python, and a body without its end can't be answered.
        """
        is_waited_for = not self._is_answered() and not self._in_body
        if not is_waited_for or not self.transport.can_write_eof():
            return False
        self._departure = DepartureWatch(
            self.loop,
            self.transport,
            may_ask=self._may_send_interim,
            has_begun=lambda: bool(self.cycle.response_started),
        )
        return True

    def pause_writing(self) -> None:
        """Mind how fast an answer is read from now on: more of it waits than a buffer holds."""
        super().pause_writing()
        self.limits.set_unread(self, self._unread_bytes())
        self._unread_before = self._unread_bytes()
        self._unread_timer.start()

    def resume_writing(self) -> None:
        """It is read."""
        super().resume_writing()
        self.limits.set_unread(self, 0)
        self._unread_timer.stop()

    def drop_unread(self) -> None:
        """End at once: its answer is not read."""
        get_logger().warning(
            "answer not read", client=self.client and self.client[0], bytes=self._unread_bytes()
        )
        self.transport.abort()

    def leave(self) -> None:
        """Give up the place at once, for another connection."""
        self._give_place()
        self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Count what will be held until it is answered."""
        super().data_received(data)
        if self._is_deaf or self._is_answered():
            return
        self._unanswered_bytes += len(data)
        if self._unanswered_bytes > FREE_BYTES or self._in_body:
            self._hold()

    def on_message_begin(self) -> None:
        """Be busy."""
        super().on_message_begin()
        self.limits.set_busy(self)
        self._is_room_checked = False

    def on_headers_complete(self) -> None:
        """Begin to answer the request, if this connection may ask for it.

        Raises:
            TooManyConnectionsError: too many requests wait on this connection.
        """
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyConnectionsError
        super().on_headers_complete()
        if self._place is not Place.FULL and self.cycle is not None:
            self._may_keep_alive = self.cycle.keep_alive = False
            if not is_probe(cast("Scope", self.cycle.scope)):
                refuse_cycle(self.cycle, TooManyConnectionsError())

    def on_response_complete(self) -> None:
        """Be idle, unless more was asked."""
        super().on_response_complete()
        if self._is_answered():
            if self._departure is not None:
                self._departure.stop()
                self.transport.close()
            self._unanswered_bytes = 0
            self._release()
            if self._place is Place.FULL and not self._in_head:
                self.limits.set_idle(self)

    def _unread_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    def _look_at_unread(self) -> None:
        """An answer is read at least as fast as a body is to be sent, or dropped."""
        unread = self._unread_bytes()
        if self._unread_before - unread < self.min_body_bytes_per_second * self.body_grace_seconds:
            self.drop_unread()
            return
        self._unread_before = unread
        self._unread_timer.start()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_answered(self) -> bool:
        """Whether no request waits for its answer, or for the rest of its body."""
        return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

    def _may_send_interim(self) -> bool:
        """Whether the only answer to come has not begun, and its client knows of interim ones."""
        is_next = not self.pipeline and not self.cycle.response_started
        return is_next and self.cycle.scope["http_version"] != "1.0"

    def _hold(self) -> None:
        more = max(0, self._unanswered_bytes - FREE_BYTES - self._held_bytes)
        needed = more
        if self._in_body and not self._is_room_checked:
            self._is_room_checked = True
            left = self._meter.left_bytes(self.headers)
            if left <= self.limits.max_body_bytes:  # A larger one gets 413.
                needed = max(more, self._unanswered_bytes + left - FREE_BYTES - self._held_bytes)
        if needed > self.limits.room_bytes():
            self._refuse_for_bytes()
            return
        self.limits.hold(more)
        self._held_bytes += more

    def _refuse_for_bytes(self) -> None:
        error = TooManyBodyBytesError()
        if self._in_head or self._in_body:
            self._refuse(error)
        elif not self.cycle.response_started:
            refuse_cycle(self.cycle, error)

    def _release(self) -> None:
        self.limits.release(self._held_bytes)
        self._held_bytes = 0

    def _give_place(self) -> None:
        self.limits.give_place(self._place)
        self._place = Place.NONE
