"""How an error is answered: one table from its class to status and type, and one body shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from engine import errors as engine_errors
from engine.errors import (
    DeadlineTooNearError,
    EmbellamaError,
    InvalidInputError,
    OverloadedError,
    SpaceMismatchError,
    UnavailableError,
    UnknownPromptError,
)
from functions.wire_errors import BodyTimeoutError, HeadersTooLargeError, HeadTimeoutError

INVALID_REQUEST = "invalid_request_error"
RATE_LIMIT = "rate_limit_error"
SERVER_ERROR = "server_error"
GENERIC_MESSAGE = (
    "The server failed at this request. Its log has the reason under the x-request-id."
)
_BUSY_MESSAGE = "The server has as much work waiting as it takes. Try again later."
_LONGEST_ECHO = 64


def shorten(name: str) -> str:
    """A name that a client sent, short enough for a message or a log."""
    return name if len(name) <= _LONGEST_ECHO else f"{name[:_LONGEST_ECHO]}..."


class ModelNotFoundError(InvalidInputError):
    """No model of this name is served."""

    code = "model_not_found"

    def __init__(self, *, name: str, served: Sequence[str], in_tables: bool = False) -> None:
        """`in_tables` says that the names are from the tables of --models."""
        cure = "The server's option --served-model-name gives it further names."
        if in_tables:
            cure = "`aliases` in the tables of the server's option --models give further names."
        super().__init__(
            f"The model {shorten(name)!r} is not served here. Served: {', '.join(served)}. {cure}",
            param="model",
        )
        self.name = name
        self.served = tuple(served)


class RouteNotFoundError(EmbellamaError):
    """The path leads nowhere. Most often the base URL of a client is wrong, so it is told."""

    code = "not_found"

    def __init__(self, *, path: str, base_url: str) -> None:
        super().__init__(
            f"There is no route {shorten(path)!r}. The base URL for clients is {base_url}; "
            "/openapi.json lists what is offered."
        )
        self.path = path


class InvalidApiKeyError(EmbellamaError):
    """Keys are on, and the request has none or a wrong one."""

    code = "invalid_api_key"

    def __init__(self, *, is_missing: bool) -> None:
        how = "send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'."
        what = "An API key is needed" if is_missing else "The API key is not valid"
        super().__init__(f"{what}; {how}")


class RateLimitError(UnavailableError):
    """A client has used up its requests or tokens; `retry_after_seconds` is when this fits."""

    code = "rate_limit_exceeded"

    def __init__(self, *, unit: str, limit: int, retry_after_seconds: float) -> None:
        super().__init__(
            f"The rate limit of {limit} {unit} a minute is reached. "
            f"Try again in {max(1, math.ceil(retry_after_seconds))} s.",
            retry_after_seconds=retry_after_seconds,
        )
        self.unit = unit
        self.limit = limit


class RequestOverRateLimitError(EmbellamaError):
    """A single request needs more than a client gets in a minute; waiting does not help."""

    code = "rate_limit_exceeded"

    def __init__(self, *, unit: str, cost: int, limit: int) -> None:
        super().__init__(
            f"The request has {cost} {unit}, but the rate limit is {limit} {unit} a minute. "
            "Split it."
        )
        self.unit = unit
        self.cost = cost
        self.limit = limit


class ReloadError(EmbellamaError):
    """A model was not loaded anew; the old one goes on. For operators, so it says why."""

    code = "reload_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The model was not reloaded, and what was served still is. {reason}")


class PayloadTooLargeError(EmbellamaError):
    """The body of the request has more bytes than `max_body_bytes`."""

    code = "payload_too_large"

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"The body is larger than the limit of {limit} bytes. Split the request.")
        self.limit = limit


class HostNotAllowedError(InvalidInputError):
    """The request is for a host that this server is not, or not from a browser."""

    code = "host_not_allowed"

    def __init__(self, *, host: str) -> None:
        super().__init__(
            f"This server is not asked for as {shorten(host)!r}. If it should be, start it with "
            "--allowed-host and that name.",
            param=None,
        )
        self.host = host


class ResponseTooLargeError(EmbellamaError):
    """The platform can't carry the answer; said before anything is computed."""

    code = "response_too_large"

    def __init__(
        self, *, inputs: int, predicted: int, limit: int, largest_batch: int, advice: str
    ) -> None:
        super().__init__(
            f"The answer to {inputs} inputs would have about {predicted} bytes, but {limit} bytes "
            f"is the limit here; {largest_batch} inputs of this kind fit. {advice}"
        )
        self.inputs = inputs
        self.predicted = predicted
        self.limit = limit
        self.largest_batch = largest_batch


STATUS: dict[type[EmbellamaError], tuple[int, str]] = {
    engine_errors.InvalidInputError: (400, INVALID_REQUEST),
    ModelNotFoundError: (404, INVALID_REQUEST),
    RouteNotFoundError: (404, INVALID_REQUEST),
    RateLimitError: (429, RATE_LIMIT),
    RequestOverRateLimitError: (429, RATE_LIMIT),
    ReloadError: (409, INVALID_REQUEST),
    InvalidApiKeyError: (401, INVALID_REQUEST),
    PayloadTooLargeError: (413, INVALID_REQUEST),
    HeadTimeoutError: (408, INVALID_REQUEST),
    BodyTimeoutError: (408, INVALID_REQUEST),
    HeadersTooLargeError: (431, INVALID_REQUEST),
    ResponseTooLargeError: (413, INVALID_REQUEST),
    engine_errors.SpaceMismatchError: (409, INVALID_REQUEST),
    engine_errors.UnavailableError: (503, SERVER_ERROR),
    engine_errors.OverloadedError: (429, RATE_LIMIT),
    engine_errors.DeadlineExceededError: (504, SERVER_ERROR),
    engine_errors.BackendError: (500, SERVER_ERROR),
    engine_errors.ConfigurationError: (500, SERVER_ERROR),
    engine_errors.BundleError: (500, SERVER_ERROR),
}
"""Status and type of each class; a class without a row has its base's."""

_HTTP_ERRORS: dict[int, tuple[str, str]] = {
    404: ("not_found", "There is no such route. See /openapi.json for what is offered."),
    405: ("method_not_allowed", "This route does not take this method; the allow header has it."),
    413: ("payload_too_large", "The body is too large. Split the request."),
}
"""Code and message of what the router itself refuses."""


def status_of(kind: type[BaseException]) -> tuple[int, str]:
    """Status and type of an error class: the nearest row, or that of an unexpected failure."""
    for base in kind.__mro__:
        if base in STATUS:
            return STATUS[base]
    return 500, SERVER_ERROR


def error_response(exc: BaseException) -> Response:
    """The answer to any error. What a client must not see stays out of it."""
    if isinstance(exc, HTTPException):
        return _http_error_response(exc)
    status, kind = status_of(type(exc))
    if status == 500 or not isinstance(exc, EmbellamaError):
        param = exc.param if isinstance(exc, engine_errors.FailedInputError) else None
        return _response(500, GENERIC_MESSAGE, SERVER_ERROR, param, "internal_error")
    param = exc.param if isinstance(exc, InvalidInputError) else None
    return _response(status, _public_message(exc), kind, param, exc.code, _headers(exc))


def _http_error_response(exc: HTTPException) -> Response:
    code, message = _HTTP_ERRORS.get(exc.status_code, (None, "The request is not valid."))
    kind = SERVER_ERROR if exc.status_code >= 500 else INVALID_REQUEST
    return _response(exc.status_code, message, kind, None, code, dict(exc.headers or {}))


def _public_message(exc: EmbellamaError) -> str:
    """The message without the server's inner numbers, and with what the client sent cut short."""
    if isinstance(exc, OverloadedError):
        return _BUSY_MESSAGE
    if isinstance(exc, UnknownPromptError):
        return UnknownPromptError(name=shorten(exc.name), known=exc.known).message
    if isinstance(exc, SpaceMismatchError):
        return SpaceMismatchError(required=shorten(exc.required), served=exc.served).message
    return exc.message


def _headers(exc: EmbellamaError) -> dict[str, str]:
    if isinstance(exc, UnavailableError):
        return {
            "retry-after": str(math.ceil(exc.retry_after_seconds)),
            "retry-after-ms": str(math.ceil(exc.retry_after_seconds * 1000)),
        }
    if isinstance(exc, InvalidApiKeyError):
        return {"www-authenticate": "Bearer"}
    if isinstance(exc, (SpaceMismatchError, RequestOverRateLimitError, DeadlineTooNearError)):
        never = {"x-should-retry": "false"}  # Official clients would retry 409, 429, 504, in vain.
        if isinstance(exc, RequestOverRateLimitError):  # a smaller one may come then
            return never | {"retry-after": "60", "retry-after-ms": "60000"}
        return never
    return {}


def _response(
    status: int,
    message: str,
    kind: str,
    param: str | None,
    code: str | None,
    headers: dict[str, str] | None = None,
) -> Response:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Response(orjson.dumps({"error": error}), status, headers, media_type="application/json")
