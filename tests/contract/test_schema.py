"""Requests made up from the OpenAPI document: every answer must be as the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import structlog
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from engine.testing import fake_engine
from functions.api_operations import OPERATIONS
from functions.app import create_app
from functions.models import ModelRegistry
from functions.settings import Settings

MODEL = "all-MiniLM-L6-v2"
CHECKS = [
    content_type_conformance,
    negative_data_rejection,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def api() -> Iterator[BaseSchema]:
    """The document of an application whose model has the name that the examples ask for."""
    with fake_engine(matryoshka_dimensions=(4,), prompts={"query": "the "}) as engine:
        app = create_app(Settings(), ModelRegistry.of(engine, MODEL))
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


def _statuses(api: BaseSchema, method: str, path: str, mode: GenerationMode) -> set[int]:
    """Send always the same requests and check the answers; the statuses that came."""
    statuses: set[int] = set()

    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case[Any]) -> None:
        if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
            case.body["model"] = MODEL  # or nearly all would end at a model that is not known
        if case.headers and case.headers.get("x-request-timeout-ms", "").isdecimal():
            case.headers["x-request-timeout-ms"] = "60000"  # or a 504 would be what was asked for
        statuses.add(case.call_and_validate(checks=CHECKS).status_code)

    with structlog.testing.capture_logs():
        check()
    return statuses


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_the_answer_to_a_good_request_is_as_the_document_says(
    method: str, path: str, api: BaseSchema
) -> None:
    statuses = _statuses(api, method, path, GenerationMode.POSITIVE)
    assert statuses & {200, 404}  # 404 where the path itself is made up


@pytest.mark.parametrize(
    ("method", "path"), [key for key, operation in OPERATIONS.items() if operation.request]
)
def test_the_answer_to_a_bad_request_is_as_the_document_says(
    method: str, path: str, api: BaseSchema
) -> None:
    assert 400 in _statuses(api, method, path, GenerationMode.NEGATIVE)
