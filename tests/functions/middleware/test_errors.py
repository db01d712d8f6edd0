from __future__ import annotations

import asyncio

import orjson
import pytest
import structlog
from starlette.requests import ClientDisconnect

from engine.errors import BackendError, InvalidInputError
from functions.middleware.errors import ErrorMiddleware
from functions.middleware.request_id import RequestIdMiddleware
from tests.functions.middleware.asgi import call, raising

Logs = list[structlog.typing.EventDict]


@pytest.mark.parametrize("error", [RuntimeError("why"), BackendError("why")])
def test_a_failure_is_answered_in_general_and_logged_in_full(error: Exception, logs: Logs) -> None:
    app = RequestIdMiddleware(ErrorMiddleware(raising(error)))
    sent = call(app, headers={"x-request-id": "r1"})
    assert sent[0]["status"] == 500
    assert orjson.loads(sent[1]["body"])["error"]["code"] == "internal_error"
    assert [(line["request_id"], line["exc_info"]) for line in logs] == [("r1", error)]


def test_a_refusal_is_answered_and_needs_no_traceback(logs: Logs) -> None:
    sent = call(RequestIdMiddleware(ErrorMiddleware(raising(InvalidInputError("m", param="p")))))
    assert sent[0]["status"] == 400
    assert logs == []


def test_a_failure_after_the_start_sends_no_second_answer(logs: Logs) -> None:
    app = RequestIdMiddleware(ErrorMiddleware(raising(RuntimeError("why"), after_start=True)))
    assert [message["type"] for message in call(app)] == ["http.response.start"]
    assert len(logs) == 1


def test_what_a_drain_cancels_is_told_to_come_back() -> None:
    sent = call(RequestIdMiddleware(ErrorMiddleware(raising(asyncio.CancelledError()))))
    assert sent[0]["status"] == 503
    assert orjson.loads(sent[1]["body"])["error"]["code"] == "shutting_down"


def test_a_client_that_has_gone_gets_no_answer(logs: Logs) -> None:
    assert call(RequestIdMiddleware(ErrorMiddleware(raising(ClientDisconnect())))) == []
    assert logs == []
