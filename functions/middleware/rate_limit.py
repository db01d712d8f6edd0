"""Counts requests and tokens of each client, and tells it on every answer what is left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import EmbellamaError
from functions.clients import client_of
from functions.middleware.api_key import ADMIN_PREFIX, OPEN_PATHS
from functions.observability import is_probe, record_of

if TYPE_CHECKING:
    from functions.rate_limits import RateLimiter

TakeTokens: TypeAlias = Callable[[int], Awaitable[None]]

_TAKE_TOKENS_KEY = "embellama.take_tokens"


class RateLimitMiddleware:
    """Takes one request at once; the route takes the tokens, when they have been counted."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, trusted_proxy_hops: int) -> None:
        self.app = app
        self.limiter = limiter
        self.trusted_proxy_hops = trusted_proxy_hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request.

        Raises:
            RateLimitError: the client has used up its requests.
        """
        if scope["type"] != "http" or _is_exempt(scope):
            await self.app(scope, receive, send)
            return
        client = client_of(scope, self.trusted_proxy_hops)

        async def take_tokens(tokens: int) -> None:
            await self.limiter.take("tokens", client, tokens)

        async def send_after_note(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._note(scope, client)
            await send(message)

        scope[_TAKE_TOKENS_KEY] = take_tokens
        try:
            await self.limiter.take("requests", client, 1)
            await self.app(scope, receive, send_after_note)
        except EmbellamaError:
            await self._note(scope, client)  # The answer to it is made further out.
            raise

    async def _note(self, scope: Scope, client: str) -> None:
        record = record_of(scope)
        record.headers |= await self.limiter.headers(client)
        if self.limiter.storage_is_down:
            record.fields["rate_limits"] = "off"


def take_tokens_of(scope: Scope) -> TakeTokens | None:
    """What takes the tokens of a request from its client; None where there are no limits."""
    return cast("TakeTokens | None", scope.get(_TAKE_TOKENS_KEY))


def _is_exempt(scope: Scope) -> bool:
    path: str = scope["path"]
    return is_probe(scope) or path in OPEN_PATHS or path.startswith(ADMIN_PREFIX)
