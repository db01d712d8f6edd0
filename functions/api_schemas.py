"""JSON schemas of the answers, for the OpenAPI document. They are closed: no further keys."""

from __future__ import annotations

from functions.schemas import EmbeddingsRequest, TokenizeRequest

Schema = dict[str, object]

_STRING: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}


def _object(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _constant(value: str) -> Schema:
    return {"type": "string", "const": value}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def reference(name: str) -> Schema:
    """A reference to one of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def _request(model: type[EmbeddingsRequest | TokenizeRequest]) -> Schema:
    return {key: value for key, value in model.model_json_schema().items() if key != "title"}


_ERROR: Schema = _object(
    {
        "message": _STRING | {"description": "What was wrong, the limit, and the cure."},
        "type": _STRING | {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
        "param": {"type": ["string", "null"], "description": "The field, such as `input[3]`."},
        "code": {"type": ["string", "null"], "description": "A stable word for the reason."},
    }
)

_EMBEDDING: Schema = _object(
    {
        "object": _constant("embedding"),
        "index": _COUNT,
        "embedding": {
            "oneOf": [
                _list_of({"type": "number"}),
                _STRING | {"contentEncoding": "base64", "description": "Little-endian float32."},
            ]
        },
    }
)

_TOKENS: Schema = _object(
    {
        "object": _constant("tokens"),
        "index": _COUNT,
        "tokens": _COUNT | {"description": "With special tokens and the prompt."},
        "input_ids": _list_of(_COUNT),
        "truncated": _FLAG,
    }
)

_MODEL_DETAILS: Schema = _object(
    {
        "alias_of": _or_null(_STRING)
        | {"description": "The model's own name, where `id` is another name for it."},
        "aliases": _list_of(_STRING) | {"description": "All other names that are taken."},
        "space": _STRING | {"description": "Fingerprint of the vector space."},
        "dimensions": _COUNT,
        "matryoshka_dimensions": _list_of(_COUNT),
        "limits": _object(
            {
                "max_input_tokens": _COUNT,
                "max_client_batch_size": _COUNT,
                "max_request_tokens": _COUNT,
                "max_request_bytes": _COUNT | {"description": "What the gateway carries."},
                "max_response_bytes": _COUNT | {"description": "What the gateway carries."},
                "max_seconds": {
                    "type": ["number", "null"],
                    "description": "When the gateway gives up; null where it waits.",
                },
                "max_inputs_per_answer": _object({"float": _COUNT, "base64": _COUNT})
                | {"description": "Inputs of full size that an answer carries, by its format."},
            },
            optional=(
                "max_request_bytes",
                "max_response_bytes",
                "max_seconds",
                "max_inputs_per_answer",
            ),
        )
        | {"description": "What a request may have. Behind a gateway its limits come on top."},
        "engine": _STRING,
        "device": _STRING,
        "precision": _STRING,
        "architecture": _STRING,
        "pooling": _STRING | {"enum": ["cls", "mean", "last_token"]},
        "normalize": _FLAG,
        "prompts": {"type": "object", "additionalProperties": _STRING},
        "certificate": {
            "type": ["object", "null"],
            "description": "How close the vectors are to the source's, as measured.",
        },
    }
)

_ENGINE: Schema = _object(
    {
        "name": _STRING,
        "device": _STRING,
        "precision": _STRING,
        "version": {"type": ["string", "null"]},
    }
)

_STATE: Schema = _STRING | {"enum": ["loading", "ready", "failed", "failing", "draining"]}

COMPONENTS: dict[str, Schema] = {
    "EmbeddingsRequest": _request(EmbeddingsRequest),
    "TokenizeRequest": _request(TokenizeRequest),
    "Error": _object({"error": _ERROR}),
    "Embedding": _EMBEDDING,
    "Embeddings": _object(
        {
            "object": _constant("list"),
            "data": _list_of(reference("Embedding")),
            "model": _STRING,
            "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT}),
        }
    ),
    "Tokens": _TOKENS,
    "Tokenization": _object(
        {
            "object": _constant("list"),
            "data": _list_of(reference("Tokens")),
            "model": _STRING,
            "total_tokens": _COUNT,
            "max_input_tokens": _COUNT,
        }
    ),
    "Model": _object(
        {
            "id": _STRING,
            "object": _constant("model"),
            "created": _COUNT,
            "owned_by": _STRING,
            "embellama": _MODEL_DETAILS,
        }
    ),
    "Models": _object({"object": _constant("list"), "data": _list_of(reference("Model"))}),
    "Engine": _ENGINE,
    "Health": _object(
        {
            "status": _STATE,
            "model": {"type": ["string", "null"]},
            "engine": _or_null(reference("Engine")),
            "models": _list_of(
                _object(
                    {
                        "model": {"type": ["string", "null"]},
                        "status": _STATE,
                        "reason": _STRING,
                        "engine": _or_null(reference("Engine")),
                    },
                    optional=("reason",),
                )
            ),
            "versions": _object({"embellama": _STRING, "python": _STRING}),
        }
    ),
    "Server": _object(
        {
            "name": _constant("embellama"),
            "version": _STRING,
            "base_url": _STRING | {"description": "What clients take as their base URL."},
            "docs": _STRING,
            "openapi": _STRING,
            "health": _STRING,
        }
    ),
    "Live": _object({"status": _constant("live")}),
    "Ready": _object({"status": _constant("ready")}),
}
