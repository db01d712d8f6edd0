"""Answers every error that is raised below: the outermost handler of a request."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import EmbellamaError, ShuttingDownError
from functions.errors import error_response, status_of
from functions.observability import REFUSED, get_logger, record_of

_TOO_LATE = ShuttingDownError("The server shut down before this was done.", retry_after_seconds=2)


class ErrorMiddleware:
    """Raise anywhere, map once. Failures of the server are logged with their traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = scope.get(REFUSED)
        if refused is not None:
            _note(scope, refused)
            await error_response(refused)(scope, receive, send)
            return
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except ClientDisconnect:
            return  # Nobody is left to answer.
        except asyncio.CancelledError:
            # The server cancels what is left when a drain has taken too long.
            if not started:
                await error_response(_TOO_LATE)(scope, receive, send)
        except Exception as exc:  # noqa: BLE001 - any failure must become one JSON answer
            _note(scope, exc)
            if not started:
                await error_response(exc)(scope, receive, send)


def _note(scope: Scope, exc: Exception) -> None:
    record = record_of(scope)
    record.fields["error"] = type(exc).__name__
    if isinstance(exc, EmbellamaError) and exc.code is not None:
        record.fields["code"] = exc.code
    if status_of(type(exc))[0] == 500:
        get_logger().error("request failed", request_id=record.request_id, exc_info=exc)
