"""Answers HEAD wherever GET is answered: the same status and headers, and no body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Asks the layers within for GET, and drops the body of their answer (RFC 9110, 9.3.2).

    The body is made all the same, as its length and its encoding stand in the headers. Layers
    outside of this one, such as the log, still see HEAD.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if "body" in message else message)

        asked = {**scope, "method": "GET"}  # A copy: the server looks at its own for the method.
        try:
            await self.app(asked, receive, send_without_body)
        finally:
            if "route" in asked:  # The log and the metrics name it.
                scope["route"] = asked["route"]
