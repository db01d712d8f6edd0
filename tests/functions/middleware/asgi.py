"""What the tests of the layers share: applications to wrap and requests to send."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def read_all(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of bytes in the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def raising(exc: BaseException, *, after_start: bool = False) -> ASGIApp:
    """An application that fails, before or after it began to answer."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise exc

    return app


def http_scope(headers: dict[str, str] | None = None) -> Scope:
    """The scope of POST /x."""
    raw = [(key.encode(), value.encode()) for key, value in (headers or {}).items()]
    return {"type": "http", "method": "POST", "path": "/x", "headers": raw}


def call(
    app: ASGIApp, chunks: Iterable[bytes] = (b"",), headers: dict[str, str] | None = None
) -> list[Message]:
    """Send one request whose body comes in these chunks; what the application sent."""
    parts = list(chunks)
    messages = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(_await(app, http_scope(headers), receive, send))
    return sent


async def _await(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)
