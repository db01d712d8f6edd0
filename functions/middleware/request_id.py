"""Gives every request an id, and every answer the headers that all answers have."""

from __future__ import annotations

import os
import random
import re

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.headers import header_of
from functions.observability import REQUEST_ID, start_record

OPENAI_VERSION = "2020-10-01"
_MADE = random.Random(os.urandom(16))  # noqa: S311 - ids tell requests apart and guard nothing
"""Not uuid4, which asks the kernel each time and so gives the interpreter's lock away."""
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestIdMiddleware:
    """Echoes a sane `x-request-id`, else makes one: `req_` and 32 hex digits."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        wanted = header_of(scope, b"x-request-id") or ""
        request_id = wanted if _SANE.fullmatch(wanted) else f"req_{_MADE.getrandbits(128):032x}"
        record = start_record(scope, request_id)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(record.headers)
                message["headers"] += (
                    (b"x-request-id", request_id.encode("latin-1")),
                    (b"openai-processing-ms", b"%d" % round(record.elapsed_ms())),
                    (b"openai-version", OPENAI_VERSION.encode("latin-1")),
                )
            await send(message)

        token = REQUEST_ID.set(request_id)
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            REQUEST_ID.reset(token)
