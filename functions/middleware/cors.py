"""Lets browsers of other origins ask, where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from engine.errors import InvalidInputError
from functions.errors import error_response

EXPOSED_HEADERS = (
    "openai-processing-ms",
    "openai-version",
    "retry-after",
    "retry-after-ms",
    "x-embellama-space",
    "x-embellama-truncated",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "x-request-id",
)
_MAX_AGE_SECONDS = 600


class CorsMiddleware(CORSMiddleware):
    """Starlette's, with our rules.

    Every request header is allowed, as the official clients send an open set of `x-stainless-*`.
    That gives nothing away: a key travels in a header that the page must know, never in a cookie.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            max_age=_MAX_AGE_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight; a refusal has the shape of all errors."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return Response(status_code=204, headers=_without_body(response))
        refusal = InvalidInputError(
            "This origin, method or kind of network is not allowed by the server's CORS rules.",
            param=None,
        )
        answer = error_response(refusal)
        answer.headers.update(_without_body(response))
        return answer


def _without_body(response: Response) -> dict[str, str]:
    return {
        name: value
        for name, value in response.headers.items()
        if name not in ("content-type", "content-length")
    }
