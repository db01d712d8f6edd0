from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from engine.testing import fake_engine
from functions.app import create_app
from functions.settings import Settings


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", "/v1/secret", 404, "not_found"),
        ("POST", "/v1/embedding", 404, "not_found"),
        ("POST", "/v1/chat/completions", 404, "not_found"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_offered_has_the_shape_of_all_errors(
    method: str, path: str, status: int, code: str, client: TestClient
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    for header in ("x-request-id", "openai-processing-ms", "openai-version"):
        assert header in response.headers
    if status == 405:
        assert response.headers["allow"]


def test_two_applications_share_nothing() -> None:
    with fake_engine(name="one") as one, fake_engine(name="two") as two:
        first = TestClient(create_app(Settings(), one))
        second = TestClient(create_app(Settings(), two))
        assert first.get("/v1/models").json()["data"][0]["id"] == "one"
        assert second.get("/v1/models").json()["data"][0]["id"] == "two"
