"""HTTP/1.1 by uvicorn and httptools, with bounds on heads and one shape of errors."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from functions.errors import HeadersTooLargeError
from functions.targets.head_timer import HeadTimer, close_when_idle
from functions.targets.joining import JoiningTransport
from functions.targets.refusal import MAX_HEAD_BYTES, Refusal, malformed, refusing_cycle


class BoundedHttpToolsProtocol(HttpToolsProtocol):
    """Refuses what is malformed, or has too long a head, in turn and through the application.

    A connection is idle, and closed when it has been so for long, from its begin or an answer to
    the begin of the next request, whatever else comes: an empty line, or a body that was not read.

    A request that offers to go on in another protocol, such as `Upgrade: h2c`, is an ordinary
    one: a server may ignore the offer (RFC 9110, section 7.8). httptools does not read the body of
    such a request, so it is read anew without that header.
    """

    head_timeout_seconds = 30.0
    """Seconds that a head may take to come."""

    _in_head = False
    """Whether a request's head has begun and not ended."""
    _head_bytes = 0
    """What was read of that head after the read in which it began."""
    _read_bytes = 0
    """Size of the last read."""

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
        """Parse what came."""
        self._read_bytes = len(data)
        if self._in_head:
            self._head_bytes += len(data)
        rest: bytes | memoryview = data
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as exc:
                rest = memoryview(rest)[exc.args[0] :]
                if self._read_without_upgrade():
                    continue
            except httptools.HttpParserError as exc:
                is_bound = isinstance(exc.__context__, HeadersTooLargeError)
                self._refuse(exc.__context__ if is_bound else malformed())  # type: ignore[arg-type]
            break
        if self._in_head:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadersTooLargeError(limit=MAX_HEAD_BYTES))
            else:
                self._await_rest_of_head()

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile: a request, or the begin of a head."""
        super().on_response_complete()
        if self._in_head:
            self._await_rest_of_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Begin to answer it, unless its head is too long.

        Raises:
            HeadersTooLargeError: it is.
        """
        self._in_head = False
        self._head_timer.stop()
        # A head that came in one read of fewer bytes need not be measured.
        is_long = self._head_bytes or self._read_bytes > MAX_HEAD_BYTES
        if is_long and self._head_size() > MAX_HEAD_BYTES:
            raise HeadersTooLargeError(limit=MAX_HEAD_BYTES)
        super().on_headers_complete()

    def _await_rest_of_head(self) -> None:
        """Bound its time, unless something before it is being answered: it may not be read then."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not is_answering and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._head_timer.start()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _should_upgrade(self) -> bool:
        """Keep uvicorn from answering an offer to upgrade, as it is read anew."""
        return True

    def _read_without_upgrade(self) -> bool:
        """Read the head again that offered to upgrade; the rest follows. False if it is refused."""
        if self.parser.get_method() == b"CONNECT":  # no offer, but a wish for a tunnel
            self._refuse(malformed())
            return False
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        return True

    def _refuse(self, error: Refusal) -> None:
        """Answer with this error, after the requests that came before, and read no more."""
        self.parser = cast("httptools.HttpRequestParser", _DeafParser())
        self._in_head = False
        self._head_timer.stop()
        latest = self.cycle
        refusal = refusing_cycle(self, error)
        if latest is not None and not latest.response_complete:
            if not latest.more_body:
                self.flow.pause_reading()
                self.pipeline.appendleft((refusal, self.app))
                self.cycle = refusal
                return
            if self.pipeline and self.pipeline[0][0] is latest:
                self.pipeline[0] = (refusal, self.app)
                self.cycle = refusal
                return
            if latest.response_started:
                self.transport.close()
                return
            latest.disconnected = True  # Its body has no end, so nobody can answer it.
            latest.message_event.set()
        self.cycle = refusal
        self._start_asgi_task(refusal, self.app)


class _DeafParser:
    """What parses a connection that is about to be closed: nothing."""

    def feed_data(self, data: bytes) -> None:
        """Drop it."""
