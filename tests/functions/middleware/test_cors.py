from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.middleware.cors import EXPOSED_HEADERS
from functions.settings import Settings

URL = "/v1/embeddings"
ORIGIN = "https://example.org"
PREFLIGHT = {
    "origin": ORIGIN,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-arch",
}


@pytest.fixture
def browser(engine: Engine) -> TestClient:
    settings = Settings(cors_origin=(ORIGIN,), api_key=("k",), requests_per_minute=100)
    return TestClient(create_app(settings, engine))


def test_a_preflight_needs_no_key_and_allows_what_official_clients_send(
    browser: TestClient,
) -> None:
    response = browser.options(URL, headers=PREFLIGHT)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    allowed = response.headers["access-control-allow-headers"]
    assert "x-stainless-arch" in allowed
    assert "authorization" in allowed
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    "changed",
    [{"origin": "https://evil.example"}, {"access-control-request-method": "DELETE"}],
)
def test_any_other_preflight_is_refused_in_the_shape_of_all_errors(
    changed: dict[str, str], browser: TestClient
) -> None:
    response = browser.options(URL, headers=PREFLIGHT | changed)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(("key", "status"), [("k", 200), ("wrong", 401)])
def test_answers_and_errors_can_be_read_by_the_page(
    key: str, status: int, browser: TestClient
) -> None:
    response = browser.get("/v1/models", headers={"origin": ORIGIN, "x-api-key": key})
    assert response.status_code == status
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-expose-headers"] == ", ".join(EXPOSED_HEADERS)
    assert "Origin" in response.headers["vary"]


def test_another_origin_can_read_nothing(browser: TestClient) -> None:
    response = browser.get("/v1/models", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_every_header_of_ours_is_exposed(browser: TestClient) -> None:
    body = {"model": "fake-model", "input": "cat " * 40, "truncate": True}
    response = browser.post(URL, json=body, headers={"origin": ORIGIN, "x-api-key": "k"})
    ours = {name for name in response.headers if name.startswith(("x-", "openai-"))}
    assert ours - set(EXPOSED_HEADERS) == set()
    assert "x-ratelimit-remaining-requests" in ours


def test_any_origin_may_be_let_in(engine: Engine) -> None:
    client = TestClient(create_app(Settings(cors_origin=("*",)), engine))
    response = client.get("/v1/models", headers={"origin": "https://any.example"})
    assert response.headers["access-control-allow-origin"] == "*"


def test_it_is_off_by_default(client: TestClient) -> None:
    assert client.options(URL, headers=PREFLIGHT).status_code == 405
    response = client.get("/v1/models", headers={"origin": ORIGIN})
    assert not [name for name in response.headers if name.startswith("access-control")]
