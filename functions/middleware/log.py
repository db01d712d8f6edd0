"""Writes one line a request, when its answer has been sent."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.observability import CLIENT_CLOSED_REQUEST, get_logger, is_probe, record_of, route_of


class LogMiddleware:
    """One line: id, method, route, status, milliseconds, and what the route added.

    Probes that pass are logged at the debug level: they come every few seconds.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = CLIENT_CLOSED_REQUEST

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            record = record_of(scope)
            is_routine = is_probe(scope) and status == 200
            write = get_logger().debug if is_routine else get_logger().info
            write(
                "request",
                request_id=record.request_id,
                method=scope["method"],
                route=route_of(scope),
                status=status,
                duration_ms=round(record.elapsed_ms(), 2),
                **record.fields,
            )
