"""Tells whoever watches when a request comes and how it was answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.observability import CLIENT_CLOSED_REQUEST, RequestRecord, record_of


class RequestObserver(Protocol):
    """Whoever watches. Neither method may raise or block."""

    def begin(self, scope: Scope) -> None:
        """A request came."""
        ...

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:
        """It was answered, or its client had gone."""
        ...


class ObserveMiddleware:
    """One place that sees the status and the record of every request."""

    def __init__(self, app: ASGIApp, observers: Sequence[RequestObserver]) -> None:
        self.app = app
        self.observers = tuple(observers)

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

        for observer in self.observers:
            observer.begin(scope)
        try:
            await self.app(scope, receive, send_and_note)
        finally:
            for observer in self.observers:
                observer.end(scope, record_of(scope), status)
