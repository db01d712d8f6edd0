"""Refuses requests for a host that is not this server, behind which a page may hide (rebinding)."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.errors import HostNotAllowedError
from functions.headers import header_of
from functions.hosts import AllowedHosts, parse_host
from functions.middleware.api_key import OPEN_PATHS
from functions.observability import is_probe

_BY_BROWSERS = (b"origin", b"referer")
_FETCH_METADATA = b"sec-fetch-"
_LIVENESS = "/health/live"


class HostMiddleware:
    """Takes the hosts that the operator names, or without names all but those of a foreign page.

    DNS rebinding: a page's name is given the address of a server that only the page's reader can
    reach. The page then asks it as its own origin, so CORS does not apply, but by its own name.

    Probes and documents are open to any host, as orchestrators, load balancers and monitors ask by
    address; but not to a page by its own name, which would read metrics and the API there. Whether
    the process lives is told to anybody. A request without a Host is no browser's.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self.app = app
        self.allowed = AllowedHosts(allowed) if allowed else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request.

        Raises:
            HostNotAllowedError: its host is not one of this server's.
        """
        if scope["type"] == "http" and scope["path"] != _LIVENESS:
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        value = header_of(scope, b"host")
        if not value:
            return
        host = parse_host(value)
        if self.allowed is not None and host is not None and self.allowed.has(host):
            return
        is_for_any_host = self.allowed is None or is_probe(scope) or scope["path"] in OPEN_PATHS
        is_own = host is not None and host.is_of_this_machine
        if not is_for_any_host or (_is_from_browser(scope) and not is_own):
            raise HostNotAllowedError(host=value)


def _is_from_browser(scope: Scope) -> bool:
    return any(
        name in _BY_BROWSERS or name.startswith(_FETCH_METADATA) for name, _ in scope["headers"]
    )
