from __future__ import annotations

import pytest
import structlog
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from engine import Engine
from functions.app import create_app
from functions.middleware.errors import ErrorMiddleware
from functions.middleware.observe import ObserveMiddleware
from functions.middleware.request_id import RequestIdMiddleware
from functions.models import ModelRegistry
from functions.request_log import RequestLog
from functions.settings import Settings
from tests.functions.middleware.asgi import call, raising

Logs = list[structlog.typing.EventDict]


def test_one_line_tells_what_a_request_was(client: TestClient, logs: Logs) -> None:
    client.post(
        "/v1/embeddings",
        json={"model": "fake-model", "input": ["the cat", "sat"], "user": "alice"},
        headers={"x-request-id": "r1"},
    )
    (line,) = logs
    milliseconds = {key for key in line if key.endswith("_ms")}
    assert milliseconds == {
        "duration_ms",
        "tokenize_ms",
        "queue_ms",
        "inference_ms",
        "encode_ms",
    }
    assert {key: line[key] for key in line.keys() - milliseconds} == {
        "event": "request",
        "log_level": "info",
        "request_id": "r1",
        "client": "testclient",
        "method": "POST",
        "route": "/v1/embeddings",
        "status": 200,
        "model": "fake-model",
        "inputs": 2,
        "tokens": 7,
        "user_hash": "2bd806c97f0e00af",
    }


def test_no_line_has_the_text_of_an_input_or_the_user(client: TestClient, logs: Logs) -> None:
    for body in (
        {"model": "fake-model", "input": "sesame " * 50, "user": "alice"},
        {"model": "fake-model", "input": "sesame", "prompt_name": "sesame", "user": "alice"},
        {"model": "fake-model", "input": ["sesame", 5], "user": "alice"},
    ):
        assert client.post("/v1/embeddings", json=body).status_code == 400
    assert len(logs) == 3
    assert "sesame" not in str(logs)
    assert "alice" not in str(logs)


def test_a_refusal_names_its_error(client: TestClient, logs: Logs) -> None:
    client.post("/v1/embeddings", json={"model": "fake-model", "input": "cat " * 50})
    (line,) = logs
    assert (line["status"], line["error"], line["code"]) == (
        400,
        "InputTooLongError",
        "context_length_exceeded",
    )


def test_a_health_check_that_passes_is_logged_for_debugging_only(
    client: TestClient, logs: Logs
) -> None:
    client.get("/health/ready")
    assert [line["log_level"] for line in logs] == ["debug"]


def test_probes_are_logged_once_when_they_begin_to_fail_and_else_for_debugging_only(
    client: TestClient, engine: Engine, logs: Logs
) -> None:
    registry = ModelRegistry.of(engine)
    client = TestClient(create_app(Settings(), registry))
    client.get("/health/ready")
    registry.drain()
    for path in ("/health/ready", "/health/ready", "/health/live", "/metrics"):
        client.get(path)
    assert [(line["route"], line["status"], line["log_level"]) for line in logs] == [
        ("/health/ready", 200, "debug"),
        ("/health/ready", 503, "info"),
        ("/health/ready", 503, "debug"),
        ("/health/live", 200, "debug"),
        ("/metrics", 200, "debug"),
    ]


def test_a_scraper_without_a_key_is_logged_each_time(engine: Engine, logs: Logs) -> None:
    client = TestClient(create_app(Settings(api_key=("secret",)), engine))
    for _ in range(2):
        client.get("/metrics")
    assert [(line["status"], line["log_level"]) for line in logs] == [(401, "info")] * 2


@pytest.mark.parametrize("hops", [0, 1])
def test_who_asked_is_told_whether_let_in_or_not(hops: int, engine: Engine, logs: Logs) -> None:
    settings = Settings(api_key=("search:secret",), trusted_proxy_hops=hops)
    client = TestClient(create_app(settings, engine), client=("::ffff:192.0.2.1", 5000))
    forwarded = {"x-forwarded-for": "6.6.6.6, [2001:db8::7]:4711"}
    for key in ("wrong", "secret"):
        client.get("/v1/models", headers=forwarded | {"x-api-key": key})
    address = "2001:db8::7" if hops else "192.0.2.1"
    assert [(line["status"], line["client"], line.get("key_name")) for line in logs] == [
        (401, address, None),
        (200, address, "search"),
    ]
    assert "wrong" not in str(logs)


def test_a_proxy_can_write_no_control_character_into_the_log(engine: Engine, logs: Logs) -> None:
    client = TestClient(create_app(Settings(trusted_proxy_hops=1), engine))
    client.get("/v1/models", headers={"x-forwarded-for": "\x1b[2J\tx"})
    assert logs[0]["client"] == "?[2J?x"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v2/embeddings?key=SECRET", "/v2/embeddings"),
        ("/v1/models/gpt-4?key=SECRET", "/v1/models/gpt-4"),
        ("/" + "a" * 60_000, "/" + "a" * 63 + "..."),
        ("/%1b%5b2J%0aGET%20/admin", "/%1B%5B2J%0AGET%20/admin"),
        ("/caf%C3%A9", "/caf%C3%A9"),
    ],
)
def test_a_404_has_its_path_short_and_without_the_query(
    path: str, shown: str, client: TestClient, logs: Logs
) -> None:
    assert client.get(path).status_code == 404
    assert logs[0]["path"] == shown
    assert "SECRET" not in str(logs)


def test_what_is_found_has_no_path(client: TestClient, logs: Logs) -> None:
    client.get("/v1/models/fake-model?key=SECRET")
    assert "path" not in logs[0]
    assert "SECRET" not in str(logs)


def test_a_request_that_is_refused_before_routing_has_its_route_in_log_and_metrics(
    engine: Engine, logs: Logs
) -> None:
    settings = Settings(requests_per_minute=1, max_body_bytes=1024)
    client = TestClient(create_app(settings, engine))
    client.get("/v1/models/fake-model")
    client.get("/v1/models/fake-model")
    client.post("/embeddings", content=b"x" * 2000)
    assert [(line["status"], line["route"]) for line in logs] == [
        (200, "/v1/models/{model_id:path}"),
        (429, "/v1/models/{model_id:path}"),
        (429, "/embeddings"),
    ]
    counted = 'embellama_requests_total{method="POST",route="/embeddings",status="429"} 1.0'
    assert counted in client.get("/metrics").text.splitlines()


def test_an_answer_that_was_never_sent_is_a_499(logs: Logs) -> None:
    inner = ErrorMiddleware(raising(ClientDisconnect()))
    app = RequestIdMiddleware(ObserveMiddleware(inner, [RequestLog()]))
    call(app)
    assert [line["status"] for line in logs] == [499]


def test_a_path_of_no_route_is_told_whoever_asks(engine: Engine, logs: Logs) -> None:
    """Or a scan of a server with keys would leave no trace but 401s and 429s."""
    settings = Settings(api_key=("secret",), requests_per_minute=1)
    client = TestClient(create_app(settings, engine))
    key = {"x-api-key": "secret"}
    client.get("/%1b.env?key=SECRET")
    client.put("/v1/models")
    client.get("/v1/models", headers=key)
    client.get("/wp-login.php", headers=key)
    client.get("/v1/models/one", headers=key)
    assert [(line["status"], line["route"], line.get("path")) for line in logs] == [
        (401, None, "/%1B.env"),
        (401, "/v1/models", None),
        (200, "/v1/models", None),
        (429, None, "/wp-login.php"),
        (429, "/v1/models/{model_id:path}", None),
    ]
