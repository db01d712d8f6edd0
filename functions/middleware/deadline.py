"""Gives up on a request in time: the server's limit, or the client's where that is shorter."""

from __future__ import annotations

import asyncio
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import DeadlineExceededError, InvalidInputError
from functions.headers import header_of
from functions.observability import record_of

TIMEOUT_HEADER = "x-request-timeout-ms"
_SCOPE_KEY = "embellama.deadline"
_MILLISECONDS = re.compile(r"0*[1-9][0-9]{0,8}")


class DeadlineMiddleware:
    """The time runs from the end of the headers to the begin of the answer.

    So it covers a body that comes slowly, the queue and the computing. When it is up, the request
    is cancelled, and the engine drops what has not run yet.
    """

    def __init__(self, app: ASGIApp, request_timeout_seconds: float) -> None:
        self.app = app
        self.request_timeout_seconds = request_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request.

        Raises:
            InvalidInputError: the header of the client is not a number of milliseconds.
            DeadlineExceededError: the time is up.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seconds = min(self.request_timeout_seconds, _wanted_seconds(scope))
        scope[_SCOPE_KEY] = time.monotonic() + seconds
        body_ended = False

        async def receive_and_note() -> Message:
            nonlocal body_ended
            message = await receive()
            body_ended = not message.get("more_body", False)
            return message

        async def send_without_deadline(message: Message) -> None:
            deadline.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(seconds) as deadline:
                await self.app(scope, receive_and_note, send_without_deadline)
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            if not body_ended:
                record_of(scope).headers["connection"] = "close"  # The rest may come slowly, too.
            raise DeadlineExceededError(
                f"The request was not done within {seconds:g} seconds; what had not run was "
                "dropped. Send fewer inputs, or allow more time."
            ) from exc


def seconds_left(scope: Scope) -> float | None:
    """Until the deadline of a request; None where there is no such middleware."""
    deadline: float | None = scope.get(_SCOPE_KEY)
    return None if deadline is None else deadline - time.monotonic()


def _wanted_seconds(scope: Scope) -> float:
    wanted = header_of(scope, TIMEOUT_HEADER.encode())
    if wanted is None:
        return float("inf")
    if not _MILLISECONDS.fullmatch(wanted):
        raise InvalidInputError(
            f"The header {TIMEOUT_HEADER} must be a whole number of milliseconds from 1 to "
            "999999999.",
            param=None,
        )
    return int(wanted) / 1000
