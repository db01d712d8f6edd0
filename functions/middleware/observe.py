"""Tells whoever watches when a request comes and how it was answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from functions.observability import CLIENT_CLOSED_REQUEST, ROUTE_NAME, RequestRecord, record_of

_NOT_FOUND = 404


class RequestObserver(Protocol):
    """Whoever watches. Neither method may raise or block."""

    def begin(self, scope: Scope) -> None:
        """A request came."""
        ...

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:
        """It was answered, or its client had gone."""
        ...


class ObserveMiddleware:
    """One place that sees the status and the record of every request.

    `find_route` names the route of a request that a layer further in refused, which therefore
    never came to the router.
    """

    def __init__(
        self,
        app: ASGIApp,
        observers: Sequence[RequestObserver],
        find_route: Callable[[Scope], str | None] = lambda _: None,
    ) -> None:
        self.app = app
        self.observers = tuple(observers)
        self.find_route = find_route

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
            if "route" not in scope and status != _NOT_FOUND:  # The router found none for a 404.
                scope[ROUTE_NAME] = self.find_route(scope)
            for observer in self.observers:
                observer.end(scope, record_of(scope), status)
