"""GET /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from functions.metrics import Metrics


def metrics_router(metrics: Metrics) -> APIRouter:
    """The route that Prometheus scrapes."""
    router = APIRouter(tags=["operations"])

    @router.get("/metrics")
    async def read_metrics(request: Request) -> Response:
        """Expose all metrics, as plain text or in the OpenMetrics format if that is accepted."""
        body, content_type = metrics.expose(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return router
