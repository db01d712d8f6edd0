"""How what is no proper HTTP is answered: by the application, like any other error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from functions.errors import HeadersTooLargeError, MalformedRequestError
from functions.observability import REFUSED

MAX_HEAD_BYTES = 64 * 1024
"""Bytes that the request line and the headers of a request may have together."""

Refusal = MalformedRequestError | HeadersTooLargeError
Header = tuple[bytes, bytes]


def malformed() -> MalformedRequestError:
    """The error of what can't be read as HTTP/1.1."""
    return MalformedRequestError("This is not a valid HTTP/1.1 request.")


def refusal_scope(
    error: Refusal,
    *,
    client: tuple[str, int] | None,
    server: tuple[str, int | None] | None,
    scheme: str | None,
    headers: Sequence[Header] | None,
) -> dict[str, Any]:
    """The scope of a request that the application has but to answer with this error.

    Nothing that was sent is in it but the request's id, if that was read. The connection is
    closed then, as if the client had asked for it.
    """
    wanted = [header for header in headers or () if header[0] == b"x-request-id"]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": server,
        "client": client,
        "scheme": scheme or "http",
        "method": "",
        "root_path": "",
        "path": "",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"connection", b"close"), *wanted],
        "state": {},
        REFUSED: error,
    }
