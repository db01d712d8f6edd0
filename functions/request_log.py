"""Writes one line a request, when its answer has been sent."""

from __future__ import annotations

from starlette.types import Scope

from functions.observability import RequestRecord, get_logger, is_probe, route_of


class RequestLog:
    """One line: id, method, route, status, milliseconds, and what the route added.

    Probes that pass are logged at the debug level: they come every few seconds.
    """

    def begin(self, scope: Scope) -> None:
        """Write nothing yet."""

    def end(self, scope: Scope, record: RequestRecord, status: int) -> None:
        """Write the line."""
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
