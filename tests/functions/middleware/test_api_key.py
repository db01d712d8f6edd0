from __future__ import annotations

import pytest
import structlog
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.settings import Settings

Logs = list[structlog.typing.EventDict]
BODY = {"model": "fake-model", "input": "the cat"}


@pytest.fixture
def guarded(engine: Engine) -> TestClient:
    return TestClient(create_app(Settings(api_key=("alice:sesame", "other")), engine))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "bearer  sesame "},
        {"x-api-key": "sesame"},
        {"x-api-key": "other"},
        {"authorization": "Basic abc", "x-api-key": "other"},
    ],
)
def test_a_key_opens(headers: dict[str, str], guarded: TestClient) -> None:
    assert guarded.post("/v1/embeddings", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, "An API key is needed"),
        ({"authorization": "Bearer"}, "An API key is needed"),
        ({"authorization": "Basic sesame"}, "An API key is needed"),
        ({"authorization": "sesame"}, "An API key is needed"),
        ({"authorization": "Bearer wrong"}, "The API key is not valid"),
        ({"authorization": "Bearer alice:sesame"}, "The API key is not valid"),
        ({"authorization": "Bearer wrong", "x-api-key": "sesame"}, "The API key is not valid"),
        ({"x-api-key": "s\u00e9same"}, "The API key is not valid"),
    ],
)
def test_anything_else_is_a_401(headers: dict[str, str], message: str, guarded: TestClient) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    response = guarded.post("/v1/embeddings", json=BODY, headers=raw)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert error["message"].startswith(message)
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "invalid_api_key",
    )


@pytest.mark.parametrize("path", ["/v1/models", "/nowhere", "/metrics", "/healthy", "/health/x"])
def test_every_other_path_needs_a_key(path: str, guarded: TestClient) -> None:
    assert guarded.get(path).status_code == 401


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/openapi.json"])
def test_probes_and_documents_need_none(path: str, guarded: TestClient) -> None:
    assert guarded.get(path).status_code == 200


def test_metrics_may_be_left_open(engine: Engine) -> None:
    settings = Settings(api_key=("k",), metrics_require_key=False)
    assert TestClient(create_app(settings, engine)).get("/metrics").status_code != 401


def test_the_log_has_the_name_of_the_key_and_never_the_key(guarded: TestClient, logs: Logs) -> None:
    for key in ("sesame", "wrong-sesame"):
        guarded.post("/v1/embeddings", json=BODY, headers={"x-api-key": key})
    assert [line.get("key_name") for line in logs] == ["alice", None]
    assert "sesame" not in str(logs)


def test_the_key_of_a_client_does_not_open_admin(engine: Engine) -> None:
    client = TestClient(create_app(Settings(api_key=("k",), admin_key="root"), engine))
    assert client.get("/admin/status", headers={"x-api-key": "k"}).status_code == 401
    assert client.get("/v1/models", headers={"x-api-key": "root"}).status_code == 401


def test_without_keys_anybody_may_ask(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"authorization": "Bearer x"}).status_code == 200
