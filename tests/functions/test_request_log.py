from __future__ import annotations

import structlog
from starlette.requests import ClientDisconnect
from starlette.testclient import TestClient

from functions.middleware.errors import ErrorMiddleware
from functions.middleware.observe import ObserveMiddleware
from functions.middleware.request_id import RequestIdMiddleware
from functions.request_log import RequestLog
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


def test_an_answer_that_was_never_sent_is_a_499(logs: Logs) -> None:
    inner = ErrorMiddleware(raising(ClientDisconnect()))
    app = RequestIdMiddleware(ObserveMiddleware(inner, [RequestLog()]))
    call(app)
    assert [line["status"] for line in logs] == [499]
