"""How what is no proper HTTP is answered: by the application, like any other error."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from engine.errors import EmbellamaError
from functions.observability import REFUSED
from functions.wire_errors import MalformedRequestError


def malformed() -> MalformedRequestError:
    """The error of what can't be read as HTTP/1.1."""
    return MalformedRequestError("This is not a valid HTTP/1.1 request.")


def refusing_cycle(connection: HttpToolsProtocol, error: EmbellamaError) -> RequestResponseCycle:
    """A cycle of request and response in which the application answers with this error.

    For a request without a scope of its own. The connection is closed then, as if the client had
    asked for it.
    """
    cycle = RequestResponseCycle(
        scope=_scope(connection, error),
        transport=connection.transport,
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


def refuse_cycle(cycle: RequestResponseCycle, error: EmbellamaError) -> None:
    """Have the application answer a request with this error: at once, or when it reads the body."""
    scope: Any = cycle.scope
    scope[REFUSED] = error
    cycle.keep_alive = False
    cycle.message_event.set()


def _scope(connection: HttpToolsProtocol, error: EmbellamaError) -> Any:  # noqa: ANN401 - a TypedDict of uvicorn's, and a key of ours
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


def head_without_upgrade(connection: HttpToolsProtocol) -> bytes:
    """The head that was read last, but for its offer to go on in another protocol."""
    method, version = connection.parser.get_method(), connection.parser.get_http_version()
    lines = [b"%b %b HTTP/%b" % (method, connection.url, version.encode())]
    lines += [b"%b: %b" % header for header in connection.headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
