"""What the OpenAPI document says of each operation beyond its docstring: one table."""

from __future__ import annotations

from dataclasses import dataclass

from functions.api_schemas import Schema

_MODEL = "all-MiniLM-L6-v2"

EMBEDDINGS_EXAMPLES: dict[str, Schema] = {
    "text": {"summary": "One text", "value": {"model": _MODEL, "input": "The cat sat."}},
    "texts": {
        "summary": "Several texts",
        "value": {"model": _MODEL, "input": ["The cat sat.", "A dog ran."]},
    },
    "token_ids": {
        "summary": "The token ids of one input",
        "value": {"model": _MODEL, "input": [101, 1996, 4937, 2938, 102]},
    },
    "lists_of_token_ids": {
        "summary": "The token ids of several inputs",
        "value": {"model": _MODEL, "input": [[101, 1996, 4937, 102], [101, 1037, 3899, 102]]},
    },
    "base64": {
        "summary": "Vectors as base64, as the official clients ask for them",
        "value": {"model": _MODEL, "input": "The cat sat.", "encoding_format": "base64"},
    },
    "truncate": {
        "summary": "Cut what is too long instead of refusing it",
        "value": {"model": _MODEL, "input": "A long text ...", "truncate": "end"},
    },
}

TOKENIZE_EXAMPLES = {
    name: EMBEDDINGS_EXAMPLES[name]
    for name in ("text", "texts", "token_ids", "lists_of_token_ids", "truncate")
}

ANSWER_EXAMPLES: dict[str, Schema] = {
    "Embeddings": {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        "model": _MODEL,
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    },
    "Tokenization": {
        "object": "list",
        "data": [
            {
                "object": "tokens",
                "index": 0,
                "tokens": 4,
                "input_ids": [101, 1996, 4937, 102],
                "truncated": False,
            }
        ],
        "model": _MODEL,
        "total_tokens": 4,
        "max_input_tokens": 256,
    },
    "Server": {
        "name": "embellama",
        "version": "0.1.0",
        "base_url": "http://127.0.0.1:8080/v1",
        "docs": "/docs",
        "openapi": "/openapi.json",
        "health": "/health",
    },
    "Live": {"status": "live"},
    "Ready": {"status": "ready"},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its name for generated clients, what it answers, and how it can fail."""

    id: str
    answer: str
    """A component, or else a media type."""
    errors: tuple[int, ...]
    other: str | None = None
    """A second media type, which a client gets that accepts it."""
    request: str | None = None
    request_headers: tuple[str, ...] = ()
    answer_headers: tuple[str, ...] = ()
    needs_key: bool = True
    has_rate_limit: bool = False


_WORK = (400, 401, 404, 413, 429, 500, 503, 504)

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("post", "/v1/embeddings"): Operation(
        "createEmbedding",
        "Embeddings",
        tuple(sorted((*_WORK, 409))),
        request="EmbeddingsRequest",
        request_headers=("x-embellama-require-space", "x-request-timeout-ms"),
        answer_headers=("x-embellama-space", "x-embellama-truncated"),
        has_rate_limit=True,
    ),
    ("post", "/v1/tokenize"): Operation(
        "tokenize",
        "Tokenization",
        _WORK,
        request="TokenizeRequest",
        request_headers=("x-request-timeout-ms",),
        answer_headers=("x-embellama-truncated",),
        has_rate_limit=True,
    ),
    ("get", "/v1/models"): Operation("listModels", "Models", (401, 429, 500), has_rate_limit=True),
    ("get", "/v1/models/{model_id}"): Operation(
        "retrieveModel", "Model", (401, 404, 429, 500, 503), has_rate_limit=True
    ),
    ("get", "/health"): Operation("health", "Health", (500,), needs_key=False),
    ("get", "/health/live"): Operation("live", "Live", (500, 503), needs_key=False),
    ("get", "/health/ready"): Operation("ready", "Ready", (500, 503), needs_key=False),
    ("get", "/"): Operation("root", "Server", (500,), other="text/html", needs_key=False),
    ("get", "/metrics"): Operation("metrics", "text/plain", (401, 500)),
    ("get", "/openapi.json"): Operation("openapi", "application/json", (500,), needs_key=False),
    ("get", "/docs"): Operation("docs", "text/html", (500,), needs_key=False),
}
"""By method and path. A test walks the routes of an application and finds each of them here."""
