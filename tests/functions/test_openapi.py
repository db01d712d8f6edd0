from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.api_errors import ERROR_ANSWERS, HEADERS
from functions.api_operations import ANSWER_EXAMPLES, EMBEDDINGS_EXAMPLES, OPERATIONS
from functions.api_schemas import COMPONENTS
from functions.app import create_app
from functions.errors import STATUS
from functions.openapi import openapi_document
from functions.schemas import EmbeddingsRequest
from functions.settings import Settings

KEPT = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture
def document(engine: Engine) -> dict[str, Any]:
    return openapi_document(create_app(Settings(), engine))


def test_the_kept_document_is_the_one_that_is_served(client: TestClient) -> None:
    served = client.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.content == KEPT.read_bytes(), (
        "run: python -m functions.openapi > docs/openapi.json"
    )


def test_the_command_writes_the_kept_document() -> None:
    command = [sys.executable, "-W", "error", "-m", "functions.openapi"]
    assert subprocess.run(command, stdout=subprocess.PIPE).stdout == KEPT.read_bytes()


def test_every_route_has_a_row_and_every_row_a_route(engine: Engine) -> None:
    app = create_app(Settings(), engine)
    routes = {
        (method.lower(), path)
        for path, methods in openapi_document(app)["paths"].items()
        for method in methods
    }
    assert routes == set(OPERATIONS)
    aliases = {"/embeddings", "/models", "/models/{model_id}"}
    shown = {path for _, path in routes}
    declared = {route.path_format for route in iter_route_contexts(app.routes)}
    assert declared - shown == aliases


def test_every_status_of_the_errors_is_described() -> None:
    assert {status for status, _ in STATUS.values()} <= set(ERROR_ANSWERS)
    for status, answer in ERROR_ANSWERS.items():
        types = {kind for other, kind in STATUS.values() if other == status}
        assert not types or answer.type in types


def test_every_error_has_the_four_keys() -> None:
    error = COMPONENTS["Error"]["properties"]
    assert isinstance(error, dict)
    assert error["error"]["required"] == ["message", "type", "param", "code"]
    for answer in ERROR_ANSWERS.values():
        body = answer.example["error"]
        assert isinstance(body, dict)
        assert list(body) == ["message", "type", "param", "code"]


def test_every_answer_has_the_headers_that_all_have(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            for answer in operation["responses"].values():
                assert {"x-request-id", "openai-processing-ms", "openai-version"} <= set(
                    answer["headers"]
                )


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    def references(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*map(references, node.values()))
        return set().union(*map(references, node)) if isinstance(node, list) else set()

    for reference in references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind]
    assert set(document["components"]["headers"]) == set(HEADERS)


def test_the_examples_of_requests_are_good_requests() -> None:
    for example in EMBEDDINGS_EXAMPLES.values():
        EmbeddingsRequest.model_validate(example["value"])


def test_the_four_forms_of_input_are_shown(document: dict[str, Any]) -> None:
    forms = COMPONENTS["EmbeddingsRequest"]["properties"]
    assert isinstance(forms, dict)
    assert len(forms["input"]["oneOf"]) == 4
    assert {"text", "texts", "token_ids", "lists_of_token_ids"} <= set(EMBEDDINGS_EXAMPLES)


def test_the_examples_of_answers_have_the_keys_of_their_schemas() -> None:
    for name, example in ANSWER_EXAMPLES.items():
        assert list(example) == COMPONENTS[name]["required"]
