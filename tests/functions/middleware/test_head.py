from __future__ import annotations

import pytest
import structlog
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.testing import fake_engine
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings

_PER_REQUEST = {"x-request-id", "openai-processing-ms"}
_CHANGES = {"/metrics", "/admin/status"}
"""Paths whose answer is of another length each time."""


def _get_paths() -> list[str]:
    """The path of each route that takes GET, its parameter filled in."""
    with fake_engine() as engine:
        app = create_app(Settings(admin_key=SecretStr("operator")), engine)
    return [
        route.path_format.replace("{model_id}", "fake-model")
        for route in iter_route_contexts(app.routes)
        if route.path_format is not None and "GET" in set(route.methods or ())
    ]


GET_PATHS = _get_paths()


def _headers(headers: Headers, path: str) -> dict[str, str]:
    left_out = _PER_REQUEST | ({"content-length"} if path in _CHANGES else set())
    return {name: value for name, value in headers.items() if name not in left_out}


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
@pytest.mark.parametrize("path", GET_PATHS)
def test_head_has_the_status_and_the_headers_of_get_and_no_body(
    path: str, accept: str, encoding: str, engine: Engine
) -> None:
    client = TestClient(create_app(Settings(admin_key=SecretStr("operator")), engine))
    wanted = {
        "accept": accept,
        "accept-encoding": encoding,
        "authorization": "Bearer operator",
    }
    expected = client.get(path, headers=wanted)
    found = client.head(path, headers=wanted)
    assert (found.status_code, found.content) == (200, b"")
    assert _headers(Headers(found.headers), path) == _headers(Headers(expected.headers), path)
    assert int(found.headers["content-length"]) > 0


def test_the_routes_that_take_get_were_found() -> None:
    """Else a list that misses some would prove nothing."""
    assert {"/", "/health", "/v1/models", "/models", "/metrics", "/docs"} <= set(GET_PATHS)
    assert "/admin/status" in GET_PATHS


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/v1/models/gpt", 404), ("/v1/embeddings", 405), ("/v1/tokenize", 405)],
)
def test_an_error_has_no_body_either(path: str, status: int, client: TestClient) -> None:
    expected, found = client.get(path), client.head(path)
    assert (expected.status_code, found.status_code, found.content) == (status, status, b"")
    assert _headers(Headers(found.headers), path) == _headers(Headers(expected.headers), path)


def test_head_needs_the_key_that_get_needs(engine: Engine) -> None:
    client = TestClient(create_app(Settings(api_key=(SecretStr("secret"),)), engine))
    refused = client.head("/v1/models")
    assert (refused.status_code, refused.content) == (401, b"")
    assert client.head("/v1/models", headers={"x-api-key": "secret"}).status_code == 200
    for path in ("/", "/health/ready", "/docs"):
        assert client.head(path).status_code == 200


def test_a_server_that_is_not_ready_says_so_to_head() -> None:
    client = TestClient(create_app(Settings(), ModelRegistry([ServedModel(None)])))
    answer = client.head("/health/ready")
    assert (answer.status_code, answer.content) == (503, b"")
    assert answer.headers["retry-after"] == "2"


def test_the_log_and_the_metrics_say_head(
    client: TestClient, logs: list[structlog.typing.EventDict]
) -> None:
    client.head("/v1/models")
    (line,) = [line for line in logs if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"]) == ("HEAD", "/v1/models", 200)
    counted = 'embellama_requests_total{method="HEAD",route="/v1/models",status="200"} 1.0'
    assert counted in client.get("/metrics").text.splitlines()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/health", "GET, HEAD"),
        ("HEAD", "/v1/embeddings", "POST"),
        ("GET", "/v1/embeddings", "POST"),
    ],
)
def test_a_refused_method_is_told_those_that_are_taken(
    method: str, path: str, allowed: str, client: TestClient
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
