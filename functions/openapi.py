"""The OpenAPI document: what FastAPI knows of the routes, and our tables of what they answer.

`python -m functions.openapi > docs/openapi.json` writes the one that is kept in the repository.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from functions.api_errors import (
    ERROR_ANSWERS,
    EVERY_ANSWER,
    HEADERS,
    RATE_LIMIT_HEADERS,
    REQUEST_HEADERS,
)
from functions.api_operations import (
    ANSWER_EXAMPLES,
    EMBEDDINGS_EXAMPLES,
    OPERATIONS,
    TOKENIZE_EXAMPLES,
    Operation,
)
from functions.api_schemas import COMPONENTS, Schema, reference

_OPENAPI_VERSION = "3.1.0"
_REQUEST_EXAMPLES = {
    "EmbeddingsRequest": EMBEDDINGS_EXAMPLES,
    "TokenizeRequest": TOKENIZE_EXAMPLES,
}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The document of an application's routes. A route without a row is left as FastAPI has it."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version=_OPENAPI_VERSION,
        summary=app.description,
        routes=app.routes,
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
    )
    order = [path for _, path in OPERATIONS]
    paths = sorted(
        document["paths"].items(),
        key=lambda item: order.index(item[0]) if item[0] in order else len(order),
    )
    document["paths"] = dict(paths)
    for path, methods in paths:
        for method, description in methods.items():
            operation = OPERATIONS.get((method, path))
            if operation is not None:
                _complete(description, operation)
    document["components"] = {
        "schemas": COMPONENTS,
        "headers": {name: _header(*meaning) for name, meaning in HEADERS.items()},
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
        },
    }
    return document


def write_document(document: dict[str, Any]) -> bytes:
    """The document as it is served and kept."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _complete(description: dict[str, Any], operation: Operation) -> None:
    description["operationId"] = operation.id
    description["summary"] = description["description"].partition(".")[0].partition(":")[0]
    if operation.needs_key:  # where keys are on; elsewhere none is needed
        description["security"] = [{}, {"bearer": []}, {"header": []}]
    description["parameters"] = [
        *description.get("parameters", []),
        *(_parameter(name) for name in operation.request_headers),
    ]
    if operation.request is not None:
        description["requestBody"] = {
            "required": True,
            "content": {
                "application/json": {
                    "schema": reference(operation.request),
                    "examples": _REQUEST_EXAMPLES[operation.request],
                }
            },
        }
    description["responses"] = {
        "200": _answer(operation),
        **{str(status): _error(status, operation) for status in operation.errors},
    }


def _answer(operation: Operation) -> Schema:
    media_type = operation.answer
    schema: Schema = {"type": "string"}
    if operation.answer in COMPONENTS:
        media_type, schema = "application/json", reference(operation.answer)
    elif media_type == "application/json":
        schema = {"type": "object"}
    content: Schema = {"schema": schema}
    if operation.answer in ANSWER_EXAMPLES:
        content["example"] = ANSWER_EXAMPLES[operation.answer]
    return {
        "description": "The answer.",
        "headers": _headers(operation, operation.answer_headers),
        "content": {media_type: content}
        | ({operation.other: {"schema": {"type": "string"}}} if operation.other else {}),
    }


def _error(status: int, operation: Operation) -> Schema:
    answer = ERROR_ANSWERS[status]
    return {
        "description": answer.description,
        "headers": _headers(operation, answer.headers),
        "content": {"application/json": {"schema": reference("Error"), "example": answer.example}},
    }


def _headers(operation: Operation, own: tuple[str, ...]) -> Schema:
    limits = RATE_LIMIT_HEADERS if operation.has_rate_limit else ()
    return {
        name: {"$ref": f"#/components/headers/{name}"} for name in (*EVERY_ANSWER, *own, *limits)
    }


def _header(description: str, pattern: str | None) -> Schema:
    schema: Schema = {"type": "string"}
    if pattern is not None:
        schema["pattern"] = pattern
    return {"description": description, "schema": schema}


def _parameter(name: str) -> Schema:
    return {
        "name": name,
        "in": "header",
        "required": False,
        **_header(*REQUEST_HEADERS[name]),
    }


def main() -> None:
    """Print the document of an application with default settings."""
    from functions.app import create_app
    from functions.models import ModelRegistry, ServedModel
    from functions.settings import Settings

    app = create_app(Settings(), ModelRegistry([ServedModel(None)]))
    sys.stdout.buffer.write(write_document(openapi_document(app)))


if __name__ == "__main__":
    main()
