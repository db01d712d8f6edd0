"""GET /openapi.json and GET /docs."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response

from functions.docs_page import CONTENT_SECURITY_POLICY, docs_page
from functions.openapi import openapi_document, write_document


def docs_router(app: FastAPI) -> APIRouter:
    """The document for programs and the page for people. Both are made at the first request."""
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
