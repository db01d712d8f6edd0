from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response

from engine import errors as engine_errors
from engine.errors import (
    BackendError,
    DeadlineExceededError,
    EmbellamaError,
    InputTooLongError,
    IntegrityError,
    InvalidInputError,
    NonFiniteError,
    NotReadyError,
    OverloadedError,
    ShuttingDownError,
    SpaceMismatchError,
    UnknownPromptError,
)
from functions.errors import (
    GENERIC_MESSAGE,
    STATUS,
    ModelNotFoundError,
    PayloadTooLargeError,
    error_response,
    status_of,
)


def _tree(root: type[EmbellamaError]) -> Iterator[type[EmbellamaError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _tree(kind)


def _body(response: Response) -> dict[str, dict[str, object]]:
    body: dict[str, dict[str, object]] = orjson.loads(bytes(response.body))
    return body


@pytest.mark.parametrize("kind", sorted(set(_tree(EmbellamaError)), key=str))
def test_every_error_class_has_a_row_of_its_own_or_of_its_base(kind: type[EmbellamaError]) -> None:
    assert EmbellamaError not in STATUS
    assert any(base in STATUS for base in kind.__mro__), kind


def test_the_tree_is_the_engines() -> None:
    assert {"InvalidInputError", "ExportError"} <= {kind.__name__ for kind in _tree(EmbellamaError)}
    assert engine_errors.EmbellamaError is EmbellamaError


@pytest.mark.parametrize(
    ("error", "status", "kind", "param", "code"),
    [
        (InvalidInputError("m", param="x"), 400, "invalid_request_error", "x", None),
        (
            InputTooLongError(param="input[3]", tokens=9, limit=8),
            400,
            "invalid_request_error",
            "input[3]",
            "context_length_exceeded",
        ),
        (
            ModelNotFoundError(name="a", served=["b"]),
            404,
            "invalid_request_error",
            "model",
            "model_not_found",
        ),
        (
            SpaceMismatchError(required="a", served="b"),
            409,
            "invalid_request_error",
            None,
            "space_mismatch",
        ),
        (PayloadTooLargeError(limit=5), 413, "invalid_request_error", None, "payload_too_large"),
        (NotReadyError("m", retry_after_seconds=1), 503, "server_error", None, "not_ready"),
        (ShuttingDownError("m", retry_after_seconds=1), 503, "server_error", None, "shutting_down"),
        (DeadlineExceededError("m"), 504, "server_error", None, "deadline_exceeded"),
    ],
)
def test_an_error_has_its_status_and_all_four_keys(
    error: EmbellamaError, status: int, kind: str, param: str | None, code: str | None
) -> None:
    response = error_response(error)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert _body(response) == {
        "error": {"message": error.message, "type": kind, "param": param, "code": code}
    }


@pytest.mark.parametrize(
    "error",
    [
        BackendError("secret"),
        NonFiniteError(indices=[1]),
        IntegrityError("secret"),
        EmbellamaError("secret"),
        RuntimeError("secret"),
    ],
)
def test_what_failed_inside_stays_inside(error: Exception) -> None:
    response = error_response(error)
    assert response.status_code == status_of(type(error))[0] == 500
    assert _body(response) == {
        "error": {
            "message": GENERIC_MESSAGE,
            "type": "server_error",
            "param": None,
            "code": "internal_error",
        }
    }


@pytest.mark.parametrize("kind", [OverloadedError, NotReadyError, ShuttingDownError])
def test_both_retry_headers_are_rounded_up(kind: type[OverloadedError]) -> None:
    headers = error_response(kind("m", retry_after_seconds=1.2005)).headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1201")


def test_a_space_mismatch_is_not_to_be_retried() -> None:
    response = error_response(SpaceMismatchError(required="a", served="b"))
    assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (404, "invalid_request_error", "not_found"),
        (405, "invalid_request_error", "method_not_allowed"),
        (413, "invalid_request_error", "payload_too_large"),
        (400, "invalid_request_error", None),
        (500, "server_error", None),
    ],
)
def test_what_the_router_refuses_has_the_same_shape(
    status: int, kind: str, code: str | None
) -> None:
    response = error_response(HTTPException(status, "secret", {"allow": "GET"}))
    error = _body(response)["error"]
    assert response.status_code == status
    assert response.headers["allow"] == "GET"
    assert (error["type"], error["param"], error["code"]) == (kind, None, code)
    assert "secret" not in str(error["message"])


def test_a_full_queue_tells_no_inner_numbers() -> None:
    response = error_response(OverloadedError("holds 1234 tokens", retry_after_seconds=1))
    error = _body(response)["error"]
    assert response.status_code == 429
    assert (error["type"], error["param"], error["code"]) == (
        "rate_limit_error",
        None,
        "overloaded",
    )
    assert "1234" not in str(error["message"])


@pytest.mark.parametrize(
    "error",
    [
        UnknownPromptError(name="x" * 100_000, known=["query"]),
        SpaceMismatchError(required="x" * 100_000, served="f"),
    ],
)
def test_what_a_client_sent_is_not_echoed_in_full(error: EmbellamaError) -> None:
    message = str(_body(error_response(error))["error"]["message"])
    assert "x" * 64 in message
    assert "x" * 65 not in message
    assert ("query" if isinstance(error, UnknownPromptError) else "'f'") in message


def test_a_long_model_name_is_not_echoed_in_full() -> None:
    message = ModelNotFoundError(name="x" * 100_000, served=["b"]).message
    assert len(message) < 300
