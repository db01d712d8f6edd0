"""The application: routes over the served models, and the layers around them."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException

from engine import Engine
from engine.errors import InvalidInputError
from functions.api_keys import ring_of_admins, ring_of_clients
from functions.body_limits import BodyLimits
from functions.errors import RouteNotFoundError, error_response
from functions.metrics import Metrics
from functions.middleware.api_key import OPEN_PATHS, ApiKeyMiddleware
from functions.middleware.body_limit import BodyLimitMiddleware
from functions.middleware.compression import CompressionMiddleware
from functions.middleware.cors import CorsMiddleware
from functions.middleware.deadline import DeadlineMiddleware
from functions.middleware.errors import ErrorMiddleware
from functions.middleware.head import HeadMiddleware
from functions.middleware.host import HostMiddleware
from functions.middleware.observe import ObserveMiddleware, RequestObserver
from functions.middleware.path import PathMiddleware
from functions.middleware.rate_limit import RateLimitMiddleware
from functions.middleware.request_id import RequestIdMiddleware
from functions.models import ModelRegistry
from functions.observability import is_probe, record_of
from functions.paths import base_url
from functions.platform_limits import NoPlatformLimits, PlatformLimits
from functions.request_log import RequestLog
from functions.route_names import RouteNames
from functions.routes.admin import admin_router
from functions.routes.docs import docs_router
from functions.routes.embeddings import add_embeddings_routes
from functions.routes.health import health_router
from functions.routes.metrics import metrics_router
from functions.routes.models import models_router
from functions.routes.tokenize import tokenize_router
from functions.settings import Settings
from functions.tracing import Tracing
from functions.version import version

DESCRIPTION = "OpenAI-compatible embeddings: one model and the same vectors everywhere."


def create_app(
    settings: Settings,
    models: Engine | ModelRegistry,
    platform: PlatformLimits = NoPlatformLimits(),  # noqa: B008 - it has no state
    tracing: Tracing | None = None,
    *,
    is_local: bool = False,
) -> FastAPI:
    """Build an application. Whoever opened the engines and the tracing closes them.

    Args:
        settings: all options.
        models: what is served.
        platform: what carries the answers.
        tracing: where spans go.
        is_local: whether only clients on this machine reach it.
    """
    registry = (
        models
        if isinstance(models, ModelRegistry)
        else ModelRegistry.of(models, *settings.model_options()[0].names)
    )
    app = FastAPI(
        title="Embellama",
        version=version(),
        description=DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry=_telemetry(tracing),
        exception_handlers={
            HTTPException: _answer_http_exception,
            RequestValidationError: _answer_validation_error,
        },
    )
    limits = BodyLimits.of(settings.model_options())
    add_embeddings_routes(app.router, registry, platform, limits)
    app.include_router(models_router(registry, platform))
    app.include_router(tokenize_router(registry, limits))
    app.include_router(health_router(registry))
    metrics = Metrics(registry)
    app.include_router(metrics_router(metrics))
    if settings.admin_key is not None:
        app.include_router(admin_router(registry, settings))
    app.include_router(docs_router(app))
    watching: list[RequestObserver] = [RequestLog(settings.trusted_proxy_hops), metrics]
    watching += [] if tracing is None else [tracing]
    _add_middleware(app, settings, watching, is_local)
    return app


def _telemetry(tracing: Tracing | None) -> TelemetryConfig:
    """FastAPI's own: the spans of requests if they are wanted, and nothing else."""
    off: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
    if tracing is None:
        return off
    return off | {
        "tracing": True,
        "tracer_provider": tracing.provider,
        "operation_spans": False,
        "exclude": is_probe,
    }


def _add_middleware(
    app: FastAPI, settings: Settings, observers: Sequence[RequestObserver], is_local: bool
) -> None:
    """Innermost first: each wraps what was added before it."""
    if settings.compression:
        app.add_middleware(CompressionMiddleware)
    app.add_middleware(DeadlineMiddleware, request_timeout_seconds=settings.request_timeout_seconds)
    app.add_middleware(BodyLimitMiddleware, max_body_bytes=settings.max_body_bytes)
    if settings.requests_per_minute is not None or settings.tokens_per_minute is not None:
        from functions.rate_limits import open_rate_limiter  # its package takes 40 ms to import

        limiter = open_rate_limiter(settings)
        if limiter is not None:
            hops = settings.trusted_proxy_hops
            app.add_middleware(RateLimitMiddleware, limiter=limiter, trusted_proxy_hops=hops)
    app.add_middleware(
        ApiKeyMiddleware,
        ring=ring_of_clients(settings),
        admin_ring=ring_of_admins(settings),
        open_paths=OPEN_PATHS if settings.metrics_require_key else OPEN_PATHS | {"/metrics"},
    )
    if settings.allowed_host or is_local:
        app.add_middleware(HostMiddleware, allowed=settings.allowed_host)
    app.add_middleware(ErrorMiddleware)
    if settings.cors_origin:
        app.add_middleware(CorsMiddleware, origins=settings.cors_origin)
    app.add_middleware(HeadMiddleware)
    find_route = RouteNames(app.routes).find
    app.add_middleware(ObserveMiddleware, observers=observers, find_route=find_route)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(PathMiddleware)


async def _answer_validation_error(_request: Request, exc: Exception) -> Response:
    """A parameter of the URL is wrong: 400 as for a body, never 422."""
    found = exc.errors()[0] if isinstance(exc, RequestValidationError) else {"loc": (), "msg": ""}
    param = str(found["loc"][-1]) if found["loc"] else None
    return error_response(InvalidInputError(f"{param}: {found['msg']}.", param=param))


async def _answer_http_exception(request: Request, exc: Exception) -> Response:
    if isinstance(exc, HTTPException) and exc.status_code == 404:
        exc = RouteNotFoundError(path=request.scope["path"], base_url=base_url(request.scope))
    response = error_response(exc)
    allowed = response.headers.get("allow", "").split(", ")
    if "GET" in allowed:  # `HeadMiddleware` answers HEAD wherever GET is.
        response.headers["allow"] = ", ".join(sorted({*allowed, "HEAD"}))
    code = orjson.loads(response.body)["error"]["code"]
    if code is not None:
        record_of(request.scope).fields["code"] = code
    return response
