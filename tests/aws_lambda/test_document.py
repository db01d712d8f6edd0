"""What the function answers is what its own OpenAPI document says, behind every gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
import pytest

from engine import Engine
from engine.config import EngineConfig
from engine.testing import fake_engine
from functions.aws.handler import LambdaHandler
from functions.aws.phases import Phases
from functions.aws.settings import LambdaSettings
from functions.aws.start import start
from tests.aws_lambda.conftest import Context
from tests.aws_lambda.events import MAKERS, Event, HttpRequest

MakeEvent = Callable[[HttpRequest], Event]
BODY = {"model": "fake-model", "input": ["the cat", "sat"]}
OPERATIONS = [
    ("GET", "/v1/models", "/v1/models", None),
    ("GET", "/v1/models/fake-model", "/v1/models/{model_id}", None),
    ("GET", "/health", "/health", None),
    ("GET", "/health/live", "/health/live", None),
    ("GET", "/health/ready", "/health/ready", None),
    ("POST", "/v1/embeddings", "/v1/embeddings", BODY),
    ("POST", "/v1/tokenize", "/v1/tokenize", BODY),
]


def _open(_: LambdaSettings, config: EngineConfig) -> Engine:
    return fake_engine(config=config, inline=True)


@pytest.fixture(scope="module")
def started() -> Iterator[LambdaHandler]:
    """The function as AWS starts it."""
    handler = start(Phases(), {}, _open)
    yield handler
    handler.close()


def _answer(
    handler: LambdaHandler, make_event: MakeEvent, method: str, path: str, body: object = None
) -> str:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    answer = handler(
        make_event(HttpRequest(method, path, headers=headers, body=content)), Context()
    )
    assert answer["statusCode"] == 200
    text: str = answer["body"]
    return text


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(("method", "path", "template", "body"), OPERATIONS)
def test_an_answer_is_as_the_document_says(
    method: str,
    path: str,
    template: str,
    body: object,
    make_event: MakeEvent,
    started: LambdaHandler,
) -> None:
    document = json.loads(_answer(started, make_event, "GET", "/openapi.json"))
    operation: dict[str, Any] = document["paths"][template][method.lower()]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.Draft202012Validator(schema | {"components": document["components"]})
    validator.validate(json.loads(_answer(started, make_event, method, path, body)))


def test_batches_are_measured_here_too(started: LambdaHandler) -> None:
    """The platform's limits learn from the same reports, so two of them listen."""
    make_event = MAKERS["http_api"]
    before = _batch_inputs(_answer(started, make_event, "GET", "/metrics"))
    _answer(started, make_event, "POST", "/v1/embeddings", BODY)
    assert _batch_inputs(_answer(started, make_event, "GET", "/metrics")) == before + 2


def _batch_inputs(metrics: str) -> float:
    name = 'embellama_batch_inputs_sum{model="fake-model"}'
    lines = metrics.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)
