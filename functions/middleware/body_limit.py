"""Refuses a body over the limit, at the latest when the byte too many arrives."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.errors import PayloadTooLargeError
from functions.headers import header_of
from functions.observability import REFUSED


class BodyLimitMiddleware:
    """Counts while reading, so a body without a declared or with a false length is cut too."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request.

        Raises:
            PayloadTooLargeError: the body is too large.
            EmbellamaError: the target could not read it.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = header_of(scope, b"content-length") or ""
        if declared.isdecimal() and int(declared) > self.max_body_bytes:
            raise PayloadTooLargeError(limit=self.max_body_bytes)
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            refused = scope.get(REFUSED)
            if refused is not None:  # The target could not read the body to its end.
                raise refused
            received += len(message.get("body", b""))
            if received > self.max_body_bytes:
                raise PayloadTooLargeError(limit=self.max_body_bytes)
            return message

        await self.app(scope, receive_counted, send)
