from __future__ import annotations

import pytest
from starlette.testclient import TestClient
from starlette.types import Scope

from engine.engine import Engine
from functions.app import create_app
from functions.paths import base_url, normal_path
from functions.settings import Settings

BODY = {"model": "fake-model", "input": "the cat"}
VARIANTS = [
    "/v1/v1{}",
    "/v1/v1/v1{}",
    "//v1{}",
    "/v1/{}",
    "/v1//{}",
    "/v1{}/",
    "/v1{}//",
    "//v1//v1/{}//",
]
"""What base URLs that end in a slash, or have `/v1` once too often, make of a route's path."""
ROUTES = {
    "/embeddings": ("POST", "/v1/embeddings"),
    "/tokenize": ("POST", "/v1/tokenize"),
    "/models": ("GET", "/v1/models"),
    "/models/fake-model": ("GET", "/v1/models/{model_id:path}"),
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("//", "/"),
        ("/v1", "/v1"),
        ("/v1/", "/v1"),
        ("/v1/v1", "/v1"),
        ("/v1/v1x", "/v1/v1x"),
        ("/v12/v1/embeddings", "/v12/v1/embeddings"),
        ("/embeddings/v1/v1", "/embeddings/v1/v1"),
        ("/embeddings/", "/embeddings"),
        ("/health//ready/", "/health/ready"),
        ("/v1/models/", "/v1/models"),
        ("/v1/models//", "/v1/models"),
        ("/v1/v1/models/v1/v1", "/v1/models/v1/v1"),
        ("/v1//models/org/model/", "/v1/models/org/model"),
        ("/v1/models//data/model", "/v1/models//data/model"),
        ("/v1/models/s3://bucket/model", "/v1/models/s3://bucket/model"),
        ("/v1/../admin/", "/v1/../admin"),
        ("", ""),
    ],
)
def test_the_path_that_routes_know(path: str, expected: str) -> None:
    assert normal_path(path) == expected
    assert normal_path(expected) == expected


def _paths() -> list[tuple[str, str, str]]:
    return [
        (method, variant.format(route), declared)
        for route, (method, declared) in ROUTES.items()
        for variant in VARIANTS
    ]


def _ask(client: TestClient, method: str, path: str, **headers: str) -> int:
    body = BODY if method == "POST" else None
    # An absolute URL: of one that begins with two slashes the client would make a host.
    url = f"http://testserver{path}"
    return client.request(method, url, json=body, headers=headers).status_code


@pytest.mark.parametrize(("method", "path", "declared"), _paths())
def test_a_slash_or_a_prefix_too_many_is_served_and_counted_as_the_route(
    method: str, path: str, declared: str, client: TestClient
) -> None:
    assert _ask(client, method, path) == 200
    metrics = client.get("/metrics").text
    counted = f'embellama_requests_total{{method="{method}",route="{declared}",status="200"}} 1.0'
    assert counted in metrics.splitlines()


@pytest.mark.parametrize(("method", "path", "declared"), _paths())
def test_no_way_to_write_a_path_gets_round_the_api_key(
    method: str, path: str, declared: str, engine: Engine
) -> None:
    client = TestClient(create_app(Settings(api_key=("secret",)), engine))
    assert _ask(client, method, path) == 401
    assert _ask(client, method, path, authorization="Bearer secret") == 200


@pytest.mark.parametrize(
    "path", ["/admin/status", "//admin/status", "/admin//status/", "//admin//status"]
)
def test_no_way_to_write_a_path_gets_round_the_admin_key(path: str, engine: Engine) -> None:
    settings = Settings(api_key=("secret",), admin_key="operator")
    client = TestClient(create_app(settings, engine))
    assert _ask(client, "GET", path) == 401
    assert _ask(client, "GET", path, authorization="Bearer secret") == 401
    assert _ask(client, "GET", path, authorization="Bearer operator") == 200


@pytest.mark.parametrize(
    "path", ["/health/../v1/models", "/docs/../metrics", "/v1/v1/admin/status", "/health/x"]
)
def test_what_only_looks_like_an_open_path_needs_a_key(path: str, engine: Engine) -> None:
    client = TestClient(create_app(Settings(api_key=("secret",), admin_key="operator"), engine))
    assert _ask(client, "GET", path) == 401


@pytest.mark.parametrize("path", ["/v1/embeddings", "//v1/v1//embeddings//"])
def test_every_way_to_write_a_path_counts_against_the_same_limit(path: str, engine: Engine) -> None:
    client = TestClient(create_app(Settings(requests_per_minute=1), engine))
    assert _ask(client, "POST", "/v1/embeddings") == 200
    assert _ask(client, "POST", path) == 429


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/chat/completions", "'/v1/chat/completions'"),
        ("/v1/embeddings/embeddings", "'/v1/embeddings/embeddings'"),
        ("/api/v1/embeddings", "'/api/v1/embeddings'"),
        ("/v1/%07%E2%80%AE", r"'/v1/\x07\u202e'"),
        ("/" + "x" * 5000, f"'/{'x' * 63}...'"),
    ],
)
def test_a_wrong_path_is_named_with_the_right_base_url(
    path: str, shown: str, client: TestClient
) -> None:
    response = client.post(path)
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["message"] == (
        f"There is no route {shown}. The base URL for clients is http://testserver/v1; "
        "/openapi.json lists what is offered."
    )
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        None,
        "not_found",
    )


@pytest.mark.parametrize(
    ("scheme", "headers", "root", "expected"),
    [
        ("http", [(b"host", b"127.0.0.1:8080")], "", "http://127.0.0.1:8080/v1"),
        ("https", [(b"host", b"[::1]:8080")], "", "https://[::1]:8080/v1"),
        ("http", [(b"host", b"a.example"), (b"x-forwarded-proto", b"https")], "", None),
        ("https", [(b"host", b"a.example")], "/prod", "https://a.example/prod/v1"),
        ("http", [], "", "/v1"),
        ("http", [(b"host", b'x"<script>')], "/prod", "/prod/v1"),
    ],
)
def test_the_base_url_is_that_of_who_asks(
    scheme: str, headers: list[tuple[bytes, bytes]], root: str, expected: str | None
) -> None:
    scope: Scope = {"scheme": scheme, "headers": headers, "root_path": root}
    assert base_url(scope) == (expected or "https://a.example/v1")
