"""How what is no proper HTTP is answered: by the application, like any other error."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from functions.errors import HeadersTooLargeError, HeadTimeoutError, MalformedRequestError
from functions.observability import REFUSED

MAX_HEAD_BYTES = 64 * 1024
"""Bytes that the request line and the headers of a request may have together."""

_LINGER_SECONDS = 2.0

Refusal = MalformedRequestError | HeadersTooLargeError | HeadTimeoutError


def malformed() -> MalformedRequestError:
    """The error of what can't be read as HTTP/1.1."""
    return MalformedRequestError("This is not a valid HTTP/1.1 request.")


def refusing_cycle(connection: HttpToolsProtocol, error: Refusal) -> RequestResponseCycle:
    """A cycle of request and response in which the application answers with this error.

    The connection is closed then, as if the client had asked for it.
    """
    lingering = LingeringTransport(connection.transport, connection.loop)
    cycle = RequestResponseCycle(
        scope=_scope(connection, error),
        transport=cast("asyncio.Transport", lingering),
        flow=connection.flow,
        logger=connection.logger,
        access_logger=connection.access_logger,
        access_log=connection.access_log,
        default_headers=connection.server_state.default_headers,
        message_event=asyncio.Event(),
        on_response=connection.on_response_complete,
        expect_100_continue=False,
        keep_alive=False,
    )
    cycle.more_body = False
    return cycle


def _scope(connection: HttpToolsProtocol, error: Refusal) -> Any:  # noqa: ANN401 - a TypedDict of uvicorn's, with a key of ours
    """Nothing that was sent is in it but the request's id, if that was read."""
    wanted = [header for header in connection.headers or () if header[0] == b"x-request-id"]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": connection.server,
        "client": connection.client,
        "scheme": connection.scheme or "http",
        "method": "",
        "root_path": "",
        "path": "",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"connection", b"close"), *wanted],
        "state": {},
        REFUSED: error,
    }


class LingeringTransport:
    """A transport that, when it is closed, first says so and reads on for a moment.

    A client that is refused in the middle of what it sends has bytes under way. A connection that
    is closed with bytes unread is reset, and the reset takes the refusal away from the client
    before it was read (RFC 9112, section 9.6).
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def close(self) -> None:
        """Send no more; end when the client does, or after 2 seconds."""
        if self._transport.is_closing() or not self._transport.can_write_eof():  # TLS can't
            self._transport.close()
            return
        self._transport.write_eof()
        self._loop.call_later(_LINGER_SECONDS, self._transport.close)
