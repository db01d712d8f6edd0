"""Gives every request an id, and every answer the headers that all answers have."""

from __future__ import annotations

import os
import random
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from functions.observability import start_record

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
        wanted = Headers(scope=scope).get("x-request-id", "")
        request_id = wanted if _SANE.fullmatch(wanted) else f"req_{_MADE.getrandbits(128):032x}"
        record = start_record(scope, request_id)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(record.headers)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round(record.elapsed_ms()))
                headers["openai-version"] = OPENAI_VERSION
            await send(message)

        with bound_contextvars(request_id=request_id):  # on every line of the log
            await self.app(scope, receive, send_with_headers)
