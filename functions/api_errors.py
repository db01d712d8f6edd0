"""What the OpenAPI document says of each error status and of each header: two tables."""

from __future__ import annotations

from dataclasses import dataclass

from functions.api_schemas import Schema
from functions.errors import GENERIC_MESSAGE, INVALID_REQUEST, RATE_LIMIT, SERVER_ERROR

_RETRY = ("retry-after", "retry-after-ms")


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """One status: when it comes, an example, and the headers that come with it."""

    description: str
    type: str
    message: str
    code: str | None = None
    param: str | None = None
    headers: tuple[str, ...] = ()

    @property
    def example(self) -> Schema:
        """A body of this status."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


ERROR_ANSWERS: dict[int, ErrorAnswer] = {
    400: ErrorAnswer(
        "The request is wrong; `param` names the field.",
        INVALID_REQUEST,
        "input[3] has 300 tokens, but this model takes at most 256. Shorten it, or send "
        "truncate='end' or 'start'; the server's option --truncate sets a default.",
        "context_length_exceeded",
        "input[3]",
    ),
    401: ErrorAnswer(
        "API keys are on, and none or a wrong one was sent.",
        INVALID_REQUEST,
        "The API key is not valid; send it as 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'.",
        "invalid_api_key",
    ),
    404: ErrorAnswer(
        "No model of this name is served.",
        INVALID_REQUEST,
        "The model 'gpt' is not served here. Served: all-MiniLM-L6-v2. The server's option "
        "--served-model-name gives it further names.",
        "model_not_found",
        "model",
    ),
    408: ErrorAnswer(
        "The request line and the headers, or the body, came too slowly.",
        INVALID_REQUEST,
        "The request line and the headers did not come within 30 seconds.",
        "request_timeout",
    ),
    409: ErrorAnswer(
        "The vector space that `x-embellama-require-space` names is not the one served.",
        INVALID_REQUEST,
        "The request requires the vector space 'a', but this model serves 'b'. Vectors of "
        "different spaces can't be compared.",
        "space_mismatch",
        headers=("x-should-retry",),
    ),
    413: ErrorAnswer(
        "The body is over the limit of bytes.",
        INVALID_REQUEST,
        "The body is larger than the limit of 14680064 bytes. Split the request.",
        "payload_too_large",
    ),
    431: ErrorAnswer(
        "The request line, the headers and the trailers are too long.",
        INVALID_REQUEST,
        "The request line, the headers and the trailers of the request have more than 65536 bytes.",
        "headers_too_large",
    ),
    429: ErrorAnswer(
        "The client's rate limit is reached (`rate_limit_exceeded`), or the server has as much "
        "work waiting as it takes (`overloaded`).",
        RATE_LIMIT,
        "The server has as much work waiting as it takes. Try again later.",
        "overloaded",
        headers=(*_RETRY, "x-should-retry"),
    ),
    500: ErrorAnswer(
        "The server failed; its log has the reason under the `x-request-id`.",
        SERVER_ERROR,
        GENERIC_MESSAGE,
        "internal_error",
    ),
    503: ErrorAnswer(
        "The model is loading, failed its check, or fails or hangs (`not_ready`), the server is "
        "about to end (`shutting_down`), or it has as many connections or bytes of unfinished "
        "requests as it takes (`too_many_connections`, `too_many_body_bytes`).",
        SERVER_ERROR,
        "The model is loading.",
        "not_ready",
        headers=_RETRY,
    ),
    504: ErrorAnswer(
        "The request's deadline passed; its work was dropped.",
        SERVER_ERROR,
        "The request was not done within 10 seconds; what had not run was dropped.",
        "deadline_exceeded",
        headers=("x-should-retry",),
    ),
}

EVERY_ANSWER = ("x-request-id", "openai-processing-ms", "openai-version")
"""Headers of all answers."""

RATE_LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{unit}"
    for unit in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)

_NUMBER = r"^\d+$"
_RATE_LIMIT_MEANINGS = {
    "limit": "What a client gets in a minute.",
    "remaining": "What is left of it.",
    "reset": "When all of it is back, such as `1m30s`.",
}

HEADERS: dict[str, tuple[str, str | None]] = {
    "x-request-id": ("The id of the request, in the log too.", r"^[A-Za-z0-9._:/+=@-]{1,128}$"),
    "openai-processing-ms": ("Milliseconds that the server took.", _NUMBER),
    "openai-version": ("The version of OpenAI's API that this one follows.", None),
    "x-embellama-space": ("Fingerprint of the vector space of the answer.", None),
    "x-embellama-truncated": (
        "The inputs that were cut, as indices and ranges: `0-2,5`. Absent if there are none.",
        r"^\d+(-\d+)?(,\d+(-\d+)?)*$",
    ),
    "x-should-retry": ("`false`, if at all: sending the same again is in vain.", "^false$"),
    "retry-after": ("Seconds after which to try again, where that may help.", _NUMBER),
    "retry-after-ms": ("The same in milliseconds.", _NUMBER),
    **{
        name: (f"{_RATE_LIMIT_MEANINGS[name.split('-')[2]]} Only where rate limits are on.", None)
        for name in RATE_LIMIT_HEADERS
    },
}
"""What each header of an answer means, and its pattern."""

REQUEST_HEADERS: dict[str, tuple[str, str | None]] = {
    "x-embellama-require-space": (
        "Answer only if this is the vector space served, else 409.",
        None,
    ),
    "x-request-timeout-ms": (
        "Milliseconds after which the answer is of no use: 504 then.",
        r"^[1-9][0-9]{0,8}$",
    ),
}
"""What each header of a request means, and its pattern."""
