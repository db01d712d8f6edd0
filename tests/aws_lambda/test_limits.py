from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import Receive, Scope, Send

from engine import Engine
from engine.testing import fake_engine
from engine.types import BatchReport, EmbedResult, Timings, Usage
from functions.aws.answer_size import (
    ENVELOPE_BYTES,
    answer_bytes,
    carried_bytes,
    item_bytes,
    largest_batch,
)
from functions.aws.events import ALLOWANCES, FUNCTION_RESPONSE_BYTES, Gateway
from functions.aws.handler import LambdaHandler
from functions.aws.limits import LambdaLimits
from functions.aws.speed import Speed
from functions.encoding import EncodingFormat, encode_embeddings
from functions.platform_limits import WantedAnswer
from tests.aws_lambda.conftest import Context, MakeHandler
from tests.aws_lambda.events import MAKERS, Event, HttpRequest, http_api, load_balancer


def _vectors(inputs: int, dimensions: int) -> EmbedResult:
    vectors = np.random.default_rng(0).standard_normal((inputs, dimensions)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return EmbedResult(vectors, Usage(7), (), Timings(0, 0, 0))


@pytest.mark.parametrize("dimensions", [8, 64, 384, 768, 1024, 4096])
@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_the_prediction_is_never_too_low_and_close(
    dimensions: int, encoding_format: EncodingFormat
) -> None:
    inputs = min(2048, 200_000 // dimensions)
    wanted = WantedAnswer(inputs, dimensions, encoding_format)
    body = encode_embeddings(
        _vectors(wanted.inputs, dimensions), model="m", encoding_format=encoding_format
    ).decode()
    actual = carried_bytes(body)
    assert answer_bytes(wanted) >= actual
    assert answer_bytes(wanted) <= 1.16 * actual + ENVELOPE_BYTES


def test_what_is_carried_is_counted_as_the_runtime_writes_it() -> None:
    for body in ('{"a":"b\\u00e9"}', "é" * 9):
        written = json.dumps(body, ensure_ascii=False).encode()
        assert carried_bytes(body) - ENVELOPE_BYTES == len(written) - 2


def test_a_full_request_fits_in_base64_at_384_dimensions_and_not_at_768() -> None:
    most = [
        largest_batch(WantedAnswer(1, dimensions, "base64"), FUNCTION_RESPONSE_BYTES)
        for dimensions in (384, 768)
    ]
    assert most[0] >= 2048 > most[1]


def _embed(
    inputs: int, encoding_format: str = "base64", dimensions: int | None = None
) -> HttpRequest:
    texts = [f"cat {index}" for index in range(inputs)]
    wanted = {
        "model": "fake-model",
        "input": texts,
        "encoding_format": encoding_format,
        "dimensions": dimensions,
    }
    return HttpRequest(
        "POST",
        "/v1/embeddings",
        headers={"content-type": "application/json"},
        body=json.dumps(wanted).encode(),
    )


def _error(answer: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer["body"])["error"]
    return error


@pytest.mark.parametrize("name", ["http_api", "load_balancer"])
@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_just_under_the_limit_passes_and_just_over_is_refused_before_computing(
    name: str, encoding_format: EncodingFormat, make_handler: MakeHandler
) -> None:
    limit = ALLOWANCES[Gateway(name)].response_bytes
    dimensions = 4096
    computed: list[int] = []
    with fake_engine(
        dimensions=dimensions,
        inline=True,
        before_run=lambda batch: computed.append(len(batch.encodings)),
    ) as engine:
        handler = make_handler(engine)
        wanted = WantedAnswer(1, dimensions, encoding_format)
        most = largest_batch(wanted, limit)
        refused = handler(MAKERS[name](_embed(most + 1, encoding_format)), Context())
        assert computed == []
        assert refused["statusCode"] == 413
        error = _error(refused)
        assert (error["type"], error["code"]) == ("invalid_request_error", "response_too_large")
        assert f"{most} inputs of this kind fit" in error["message"]
        assert ("base64" in error["message"]) == (encoding_format == "float")
        answer = handler(MAKERS[name](_embed(most, encoding_format)), Context())
        assert answer["statusCode"] == 200
        size = len(json.dumps(answer, ensure_ascii=False).encode())
        assert limit - 2 * ENVELOPE_BYTES - item_bytes(wanted) < size or encoding_format == "float"
        assert size <= limit


def test_fewer_dimensions_make_room(make_handler: MakeHandler) -> None:
    with fake_engine(dimensions=4096, matryoshka_dimensions=(64,), inline=True) as engine:
        handler = make_handler(engine)
        assert handler(http_api(_embed(400)), Context())["statusCode"] == 413
        assert handler(http_api(_embed(400, dimensions=64)), Context())["statusCode"] == 200


def test_too_many_inputs_are_still_the_first_thing_to_say(handler: LambdaHandler) -> None:
    answer = handler(http_api(_embed(2049)), Context())
    assert (answer["statusCode"], _error(answer)["param"]) == (400, "input")


def test_an_answer_that_grew_beyond_the_prediction_does_not_end_the_process(
    make_handler: MakeHandler,
) -> None:
    async def grown(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'"' * (FUNCTION_RESPONSE_BYTES // 2)})

    answer = make_handler(app=grown)(http_api(HttpRequest()), Context())
    assert (answer["statusCode"], _error(answer)["code"]) == (413, "response_too_large")


def _learned(speed: Speed, tokens_per_second: int) -> None:
    speed.observe(BatchReport(inputs=1, tokens=tokens_per_second, seconds=1.0))


def test_too_little_time_is_refused_before_computing(
    make_handler: MakeHandler, speed: Speed
) -> None:
    computed: list[int] = []
    with fake_engine(
        inline=True, before_run=lambda batch: computed.append(len(batch.encodings))
    ) as engine:
        handler = make_handler(engine)
        _learned(speed, 100)
        answer = handler(http_api(_embed(100)), Context(remaining_milliseconds=2500))
        assert computed == []
    assert answer["statusCode"] == 504
    error = _error(answer)
    assert (error["type"], error["code"]) == ("server_error", "deadline_exceeded")
    # 400 tokens at 100/s, raised by 1.3, are 5.2 s; half a second of 2.5 s is kept.
    assert "needs about 5.2 s, but 2.0 s are left" in error["message"]
    assert "About 38 of its inputs fit" in error["message"]
    assert answer["headers"]["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("name", "waited", "status"),
    [
        ("http_api", 0.0, 200),
        ("http_api", 26.0, 504),
        ("rest_api", 25.0, 504),
        ("function_url", 26.0, 200),
        ("load_balancer", 0.0, 200),
        ("http_api", -5.0, 200),
        ("http_api", 1e6, 200),
    ],
)
def test_time_at_the_gateway_counts_as_far_as_it_is_known(
    name: str, waited: float, status: int, handler: LambdaHandler, speed: Speed
) -> None:
    _learned(speed, 100)
    event = MAKERS[name](_embed(100))
    context = event["requestContext"]
    for key in ("timeEpoch", "requestTimeEpoch"):
        if key in context:
            context[key] = int((time.time() - waited) * 1000)
    assert handler(event, Context())["statusCode"] == status


@pytest.mark.parametrize("make_event", [http_api, load_balancer])
def test_models_show_the_limits(
    make_event: Callable[[HttpRequest], Event], handler: LambdaHandler, engine: Engine
) -> None:
    answer = handler(make_event(HttpRequest(path="/v1/models")), Context())
    limits = json.loads(answer["body"])["data"][0]["embellama"]["limits"]
    allowance = ALLOWANCES[Gateway.HTTP_API if make_event is http_api else Gateway.LOAD_BALANCER]
    assert limits["max_response_bytes"] == allowance.response_bytes
    assert limits["max_seconds"] == allowance.seconds
    assert limits["max_inputs_per_answer"]["base64"] == 2048
    assert limits["max_client_batch_size"] == 2048


def test_speed_is_smoothed_and_small_batches_say_nothing() -> None:
    speed = Speed(threads=2, max_batch_tokens=100)
    assert speed.seconds(1000) == 0.0
    speed.observe(BatchReport(1, 8, 1.0))
    assert speed.tokens_per_second is None
    speed.observe(BatchReport(1, 100, 1.0))
    speed.observe(BatchReport(1, 200, 1.0))
    assert speed.tokens_per_second == pytest.approx(130)
    assert speed.seconds(100) == pytest.approx(1.3 * 100 / 130)
    assert speed.seconds(200) == pytest.approx(1.3 * 100 / 130)
    speed.throttle(0.5)
    speed.throttle(2.0)
    assert speed.tokens_per_second == pytest.approx(65)


def test_limits_without_an_event_are_those_of_an_http_api() -> None:
    limits = LambdaLimits(Speed(threads=1, max_batch_tokens=1))
    assert limits.seconds_left({"aws.event": http_api(HttpRequest())}) <= 29.5
