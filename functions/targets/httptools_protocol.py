"""HTTP/1.1 by uvicorn and httptools, with bounds on all that comes and one shape of errors."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.errors import EmbellamaError
from functions.targets.body_timers import BodyPace, BodyTimers
from functions.targets.closing import MAX_DROPPED_BYTES, LingeringTransport
from functions.targets.host_header import settle_host
from functions.targets.joining import JoiningTransport
from functions.targets.metering import MAX_HEAD_BYTES, MAX_HEADERS, BodyMeter, head_bytes
from functions.targets.peer import peer_of
from functions.targets.refusal import (
    head_without_upgrade,
    malformed,
    refuse_cycle,
    refusing_cycle,
)
from functions.targets.timers import PartTimer, close_when_idle
from functions.wire_errors import HeadersTooLargeError, HeadTimeoutError

_PIECE_BYTES = 8 * 1024
"""What is parsed before the bounds are looked at again. uvloop reads up to 256 KiB."""


class BoundedHttpToolsProtocol(HttpToolsProtocol):
    """Refuses what is malformed, too long or too slow, in turn and through the application.

    A connection is idle, and closed when it has been so for long, from its begin or an answer to
    the begin of the next request, whatever else comes: an empty line, or a body that was not read.

    A request that offers to go on in another protocol, such as `Upgrade: h2c`, is an ordinary
    one: a server may ignore the offer (RFC 9110, section 7.8). httptools does not read the body of
    such a request, so it is read anew without that header.
    """

    head_timeout_seconds = 30.0
    """Seconds that a head may take to come, and the trailers."""
    min_body_bytes_per_second = 500
    """How fast a body must come, in each `body_grace_seconds`."""
    body_grace_seconds = 30.0

    _in_head = False
    """Whether a request's head has begun and not ended."""
    _in_body = False
    """Whether its body has."""
    _head_bytes = 0
    """What was read of that head after the piece in which it began."""
    _has_begun = False
    """Whether a request began in the piece that is parsed."""
    _may_keep_alive = True
    """Whether the request itself lets the connection go on after its answer."""
    _is_deaf = False
    """Whether a request was refused, so that what follows can't be read."""
    _dropped_bytes = 0
    """What was read, but not parsed or not kept."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be idle."""
        raw = cast("asyncio.Transport", transport)
        lingering = LingeringTransport(raw, self.loop, self._may_get_more)
        joining = JoiningTransport(cast("asyncio.Transport", lingering), self.loop)
        super().connection_made(cast("asyncio.Transport", joining))
        self.client = self.client or peer_of(transport)
        self._meter = BodyMeter()
        seconds = self.head_timeout_seconds
        self._head_timer = PartTimer(self.loop, seconds, self._time_out_head)
        self._body_timers = BodyTimers(
            self.loop,
            BodyPace(seconds, self.body_grace_seconds, self.min_body_bytes_per_second),
            received=self._received_body_bytes,
            is_late=self._is_body_late,
            refuse=self._refuse,
        )
        close_when_idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; no timer keeps this alive."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_timers()

    def data_received(self, data: bytes) -> None:
        """Parse what came: piece by piece, unless it all is of a body of declared length."""
        size = len(data)
        if size <= _PIECE_BYTES or (self._in_body and self._meter.left_bytes(self.headers) >= size):
            self._receive_piece(data)
            return
        view = memoryview(data)
        for start in range(0, size, _PIECE_BYTES):
            self._receive_piece(view[start : start + _PIECE_BYTES])

    def _receive_piece(self, piece: bytes | memoryview) -> None:
        size = len(piece)
        if self._is_deaf or self.transport.is_closing():
            self._drop(size)
            return
        was_in_body = self._in_body
        if self._in_head:
            self._head_bytes += size
        self._meter.begin_piece()
        self._parse(piece)
        if self._has_refused():
            return
        if self._in_head:
            self._look_at_head()
        elif self._in_body:
            self._look_at_body(size, is_all_of_it=was_in_body and not self._has_begun)
        self._has_begun = False

    def _parse(self, rest: bytes | memoryview) -> None:
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as exc:
                rest = memoryview(rest)[exc.args[0] :]
                if self._read_without_upgrade():
                    continue
            except httptools.HttpParserError as exc:
                cause = exc.__context__
                self._refuse(cause if isinstance(cause, EmbellamaError) else malformed())
            return

    def _look_at_head(self) -> None:
        """It has not ended: bound its size and its time."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadersTooLargeError(limit=MAX_HEAD_BYTES))
        elif len(self.headers) > MAX_HEADERS:
            self._refuse(HeadersTooLargeError(limit=MAX_HEADERS, unit="headers"))
        else:
            self._await_rest_of_head()

    def _look_at_body(self, size: int, *, is_all_of_it: bool) -> None:
        """It has not ended: bound what it has beside its data, and what is read in vain."""
        if self.cycle.response_complete:
            self._drop(size)
            if self._dropped_bytes > MAX_DROPPED_BYTES:
                self.transport.close()
            return
        if is_all_of_it:
            other = self._meter.end_piece(size)
            if other and other + head_bytes(self.url, self.headers) > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLargeError(limit=MAX_HEAD_BYTES))
                return
        if not self.cycle.response_started:  # Its answer says whether the rest would be read.
            self.cycle.keep_alive = self._may_keep_alive and self._comes_to_an_end()
        self._body_timers.start(is_in_trailers=self._meter.is_in_trailers)

    def _comes_to_an_end(self) -> bool:
        """Whether what is left of the body is sure to come, and little enough to be read in vain.

        A client that waits for "100 Continue" need not send it after another answer (RFC 9110,
        section 10.1.1): what it sends then could be taken for the body.
        """
        left = self._meter.left_bytes(self.headers)
        return left <= MAX_DROPPED_BYTES and not self.cycle.waiting_for_100_continue

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile: a request, or the begin of a head."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._body_timers.stop()
        if self._in_head:
            self._await_rest_of_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._in_head = self._has_begun = True
        self._in_body = False
        self._head_bytes = self._dropped_bytes = 0
        self._meter.begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. A trailer is counted and dropped: nothing here asks for one.

        Raises:
            HeadersTooLargeError: there are too many trailers.
            MalformedRequestError: it would say what becomes of the connection, for which it is late
                (RFC 9110, section 6.5.1). httptools refuses those that would frame the body.
        """
        if self._in_head:
            super().on_header(name, value)
        elif name.lower() == b"connection":
            raise malformed()
        else:
            self._meter.add_trailer(name, value, head_bytes(self.url, self.headers))

    def on_headers_complete(self) -> None:
        """Begin to answer it, unless its head is wrong.

        Raises:
            HeadersTooLargeError: it is too long.
            MalformedRequestError: its Host is not what it must be.
        """
        self._head_timer.stop()
        if len(self.headers) > MAX_HEADERS:
            raise HeadersTooLargeError(limit=MAX_HEADERS, unit="headers")
        # A head in one piece need not be measured.
        if self._head_bytes and head_bytes(self.url, self.headers) > MAX_HEAD_BYTES:
            raise HeadersTooLargeError(limit=MAX_HEAD_BYTES)
        settle_host(self.url, self.headers, self.parser.get_http_version())
        super().on_headers_complete()
        self._in_head = False
        self._in_body = True
        if self.cycle is not None:  # None where the first request offers to upgrade
            self._may_keep_alive = self.cycle.keep_alive

    def on_chunk_header(self) -> None:
        """The size of a chunk was read."""
        self._meter.add_chunk()

    def on_body(self, body: bytes) -> None:
        """Keep what came of a body."""
        self._meter.add_data(len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._in_body = False
        self._body_timers.stop()
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = self._may_keep_alive
        super().on_message_complete()

    def shutdown(self) -> None:
        """Close after the answer that is being made."""
        self._may_keep_alive = False
        super().shutdown()

    def _await_rest_of_head(self) -> None:
        """Bound its time, unless something before it is being answered: it may not be read then."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._head_timer.start()

    def _time_out_head(self) -> None:
        self._refuse(HeadTimeoutError(seconds=self.head_timeout_seconds))

    def _received_body_bytes(self) -> int:
        return self._meter.data_bytes

    def _is_body_late(self) -> bool:
        """Whether the client is waited for: else what comes may lie here unread."""
        return not (self.flow.read_paused or self.pipeline)

    def _stop_timers(self) -> None:
        self._head_timer.stop()
        self._body_timers.stop()

    def _has_refused(self) -> bool:
        return self._is_deaf

    def _may_get_more(self) -> bool:
        """Whether more may come of what is not read to its end."""
        return self._in_head or self._in_body or self._is_deaf

    def _drop(self, size: int) -> None:
        self._dropped_bytes += size
        if self._dropped_bytes > MAX_DROPPED_BYTES:
            self.flow.pause_reading()

    def _should_upgrade(self) -> bool:
        """Keep uvicorn from answering an offer to upgrade, as it is read anew."""
        return True

    def _read_without_upgrade(self) -> bool:
        """Read the head again that offered to upgrade; the rest follows. False if it is refused."""
        self._in_body = False
        if self.parser.get_method() == b"CONNECT":  # no offer, but a wish for a tunnel
            self._refuse(malformed())
            return False
        head = head_without_upgrade(self)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(head)
        return True

    def _refuse(self, error: EmbellamaError) -> None:
        """Answer with this error, after the requests that came before, and read no more."""
        self._is_deaf = True
        self._stop_timers()
        latest = self.cycle
        if self._in_body:
            if latest.response_started:  # The client could not tell what a second one answers.
                self.transport.close()
            else:
                refuse_cycle(latest, error)
            return
        refusal = refusing_cycle(self, error)
        self.cycle = refusal
        if latest is None or latest.response_complete:
            self._start_asgi_task(refusal, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((refusal, self.app))
