"""GET /, GET /openapi.json and GET /docs."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Scope

from functions.docs_page import CONTENT_SECURITY_POLICY, docs_page
from functions.openapi import openapi_document, write_document
from functions.paths import base_url
from functions.routes.json import json_response
from functions.version import version


def docs_router(app: FastAPI) -> APIRouter:
    """The document for programs and the page for people, made at the first request; and the root.

    The root is what people open first, and what many load balancers probe.
    """
    router = APIRouter(tags=["documentation"])

    @cache
    def document() -> dict[str, Any]:
        return openapi_document(app)

    @router.get("/openapi.json")
    async def read_openapi(request: Request) -> Response:
        """Describe this API in the OpenAPI format, version 3.1."""
        base: str = request.scope.get("root_path", "")
        servers = {"servers": [{"url": base}]} if base else {}  # Behind a gateway's stage.
        return Response(write_document(document() | servers), media_type="application/json")

    @router.get("/docs")
    async def read_docs() -> Response:
        """Describe this API for people."""
        return page()

    @router.get("/")
    async def read_root(request: Request) -> Response:
        """Say what this is and where to go on. A browser gets the page of /docs."""
        if "text/html" in request.headers.get("accept", ""):
            answer = page()
        else:
            answer = json_response(_signpost(request.scope))
        answer.headers["vary"] = "accept"
        return answer

    def page() -> Response:
        return Response(
            docs_page(document()),
            headers={
                "content-security-policy": CONTENT_SECURITY_POLICY,
                "x-content-type-options": "nosniff",
                "referrer-policy": "no-referrer",
            },
            media_type="text/html",
        )

    return router


def _signpost(scope: Scope) -> dict[str, str]:
    base: str = scope.get("root_path", "")
    return {
        "name": "embellama",
        "version": version(),
        "base_url": base_url(scope),
        "docs": f"{base}/docs",
        "openapi": f"{base}/openapi.json",
        "health": f"{base}/health",
    }
