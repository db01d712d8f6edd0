"""Writes one line a request, when its answer has been sent."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope

from functions.clients import address_of
from functions.errors import shorten
from functions.observability import RequestRecord, get_logger, is_probe, route_of

_OK, _NOT_FOUND, _NOT_READY = 200, 404, 503


class RequestLog:
    """One line: id, client, method, route, status, milliseconds, and what the route added.

    Probes are logged at the debug level, as they come every few seconds; but the first of several
    in turn that say "not ready" as any other request. The path that was asked for is logged where
    no route has it or nothing was found there, whoever asked; its query string never is.
    """

    def __init__(self, trusted_proxy_hops: int = 0) -> None:
        self._trusted_proxy_hops = trusted_proxy_hops
        self._last_of_probe: dict[str, int] = {}

    def begin(self, scope: Scope) -> None:
        """Write nothing yet."""

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:
        """Write the line."""
        route = route_of(scope)
        fields = record.fields
        path = scope["path"]  # Empty where none could be read.
        if path and (route is None or (status == _NOT_FOUND and path != route)):
            fields = {"path": _shown(path), **fields}
        write = get_logger().debug if self._is_routine(scope, route, status) else get_logger().info
        write(
            "request",
            request_id=record.request_id,
            client=address_of(scope, self._trusted_proxy_hops),
            method=scope["method"],
            route=route,
            status=status,
            duration_ms=round(record.elapsed_ms(), 2),
            **fields,
        )

    def _is_routine(self, scope: Scope, route: str | None, status: int) -> bool:
        if route is None or not is_probe(scope):
            return False
        last, self._last_of_probe[route] = self._last_of_probe.get(route), status
        return status == _OK or status == _NOT_READY == last


def _shown(path: str) -> str:
    """A path that a client made up: short, and without what a terminal would obey."""
    return quote(shorten(path), safe="/!$&'()*+,;=:@~", errors="surrogatepass")
