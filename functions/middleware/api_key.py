"""Lets in who sends a key: one ring of keys for the API, another one for /admin."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.api_keys import KeyRing
from functions.errors import InvalidApiKeyError
from functions.headers import header_of
from functions.observability import record_of

ADMIN_PREFIX = "/admin"
OPEN_PATHS = frozenset({"/", "/health", "/health/live", "/health/ready", "/openapi.json", "/docs"})
"""What needs no key: probes can't send one, and the documents are the same everywhere."""


class ApiKeyMiddleware:
    """Wants `Authorization: Bearer KEY` or `X-Api-Key: KEY`, and notes the name of the key."""

    def __init__(
        self,
        app: ASGIApp,
        ring: KeyRing | None,
        admin_ring: KeyRing | None = None,
        open_paths: frozenset[str] = OPEN_PATHS,
    ) -> None:
        self.app = app
        self.ring = ring
        self.admin_ring = admin_ring
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request.

        Raises:
            InvalidApiKeyError: no key was sent, or one that is not known.
        """
        if scope["type"] == "http":
            ring = self._ring_of(scope["path"])
            if ring is not None:
                record_of(scope).fields["key_name"] = _check(ring, scope)
        await self.app(scope, receive, send)

    def _ring_of(self, path: str) -> KeyRing | None:
        if path in self.open_paths:
            return None
        if self.admin_ring is not None and path.startswith(ADMIN_PREFIX):
            return self.admin_ring
        return self.ring


def _check(ring: KeyRing, scope: Scope) -> str:
    scheme, _, credentials = (header_of(scope, b"authorization") or "").partition(" ")
    is_bearer = scheme.lower() == "bearer"
    presented = credentials.strip() if is_bearer else header_of(scope, b"x-api-key") or ""
    name = ring.name_of(presented)
    if name is None:
        raise InvalidApiKeyError(is_missing=not presented)
    return name
