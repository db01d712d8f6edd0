"""The body of a request: that it is said to be JSON, and in an encoding that JSON has."""

from __future__ import annotations

import re

from fastapi import Request

from engine.errors import InvalidInputError
from functions.errors import shorten
from functions.headers import header_of

_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';\s]*)""", re.IGNORECASE)
_UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})
_NOT_ASCII = re.compile(rb"[^\x01-\x7f]")


async def read_body(request: Request) -> bytearray:
    """All of the body, at most once. It grows as parts come: joining them at the end takes long."""
    body = bytearray()
    async for part in request.stream():
        body += part
    return body


async def read_json_body(request: Request) -> bytearray:
    """All of the body; it is not parsed.

    Raises:
        InvalidInputError: it is said to be something else than plain JSON in UTF-8.
    """
    check_content_type(request)
    body = await read_body(request)
    charset = _CHARSET.search(header_of(request.scope, b"content-type") or "")
    if charset is not None and charset[1].lower() not in _UTF_8:
        _check_ascii(body, charset[1])
    return body


def check_content_type(request: Request) -> None:
    """Return if the body is said to be plain JSON.

    Raises:
        InvalidInputError: it is said to be something else, or nothing is said.
    """
    content_type = header_of(request.scope, b"content-type") or ""
    media_type = content_type.split(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise InvalidInputError(
            "The content-type must be application/json (in curl: -H 'content-type: "
            "application/json').",
            param=None,
        )
    encoding = header_of(request.scope, b"content-encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise InvalidInputError(
            "The body must be sent without a content-encoding: it is not decompressed.", param=None
        )


def _check_ascii(body: bytearray, charset: str) -> None:
    """ASCII is the same in most encodings; anything else would be read otherwise than meant."""
    other = _NOT_ASCII.search(body)
    if other is not None:
        raise InvalidInputError(
            f"The content-type says charset={shorten(charset)}, but JSON is sent in UTF-8, and the "
            f"body is not plain ASCII at byte {other.start()}.",
            param=None,
        )
