from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from engine import Engine
from functions.aws.handler import LambdaHandler
from functions.settings import Settings
from tests.aws_lambda.conftest import Context, MakeHandler
from tests.aws_lambda.events import MAKERS, Event, HttpRequest, http_api, load_balancer, rest_api

BODY = {"model": "fake-model", "input": ["the cat", "a dog"]}


def _post(body: object = None) -> HttpRequest:
    content = json.dumps(BODY if body is None else body).encode()
    headers = {"Content-Type": "application/json"}
    return HttpRequest("POST", "/v1/embeddings", headers=headers, body=content)


def _error(answer: dict[str, Any]) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer["body"])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
def test_every_gateway_gets_the_same_answer(
    make_event: Callable[[HttpRequest], Event], handler: LambdaHandler, engine: Engine
) -> None:
    answer = handler(make_event(_post()), Context())
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    found = json.loads(answer["body"])
    expected = engine.embed(["the cat", "a dog"])
    assert [item["embedding"] for item in found["data"]] == [
        pytest.approx(row.tolist(), abs=1e-7) for row in expected.vectors
    ]
    headers = answer["headers"]
    assert {"x-request-id", "openai-processing-ms", "x-embellama-space"} <= set(headers)


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
def test_a_body_that_came_as_base64_is_the_same_body(
    make_event: Callable[[HttpRequest], Event], handler: LambdaHandler
) -> None:
    plain = make_event(_post())
    coded = plain | {
        "body": base64.b64encode(_post().body).decode(),
        "isBase64Encoded": True,
    }
    assert handler(coded, Context())["body"] == handler(plain, Context())["body"]


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("body", "is_base64", "status"),
    [("%%%", True, 400), ("YQ", True, 400), ("\ud800", False, 400), ({"a": 1}, False, 400)],
    ids=["no base64", "cut base64", "surrogate", "object"],
)
def test_a_body_that_can_t_be_read_is_one_clear_error(
    body: object,
    is_base64: bool,
    status: int,
    make_event: Callable[[HttpRequest], Event],
    handler: LambdaHandler,
) -> None:
    event = make_event(_post()) | {"body": body, "isBase64Encoded": is_base64}
    answer = handler(event, Context())
    assert (answer["statusCode"], _error(answer)["type"]) == (status, "invalid_request_error")
    assert answer["headers"]["x-request-id"]


@pytest.mark.parametrize(
    "event",
    [
        {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
        {"warmup": True},
        {"source": "serverless-plugin-warmup"},
    ],
    ids=str,
)
def test_a_warm_up_costs_nothing(event: Event, handler: LambdaHandler) -> None:
    assert handler(event, Context()) == {"status": "warm"}


@pytest.mark.parametrize(
    "event",
    [
        {},
        None,
        [],
        "text",
        7,
        {"Records": [{"s3": {}}]},
        {"Records": [{"cf": {}}]},
        {"requestContext": None},
        {"requestContext": {}},
        {"version": "2.0", "requestContext": {"http": None}},
        {"version": "2.0", "requestContext": {"http": {}}},
        {"requestContext": {"elb": {}}},
        {"httpMethod": "GET", "path": None, "requestContext": {}},
        {"resource": "/", "httpMethod": "GET", "path": "/x", "requestContext": {"stage": 7}},
        {"version": "2.0", "headers": None, "requestContext": {"http": {"path": "/"}}},
    ],
    ids=str,
)
def test_an_unknown_event_is_answered_calmly(event: object, handler: LambdaHandler) -> None:
    answer = handler(event, Context())
    assert 400 <= answer["statusCode"] < 500
    assert _error(answer)["type"] == "invalid_request_error"


def test_a_rest_event_without_headers_is_answered(handler: LambdaHandler) -> None:
    """The console's test button sends null for them."""
    answer = handler(rest_api(HttpRequest(path="/health/live")), Context())
    assert answer["statusCode"] == 200


@pytest.mark.parametrize("stage", ["prod", "v1", "health", "docs"])
@pytest.mark.parametrize("name", ["http_api", "rest_api"])
def test_a_stage_is_no_part_of_the_route(stage: str, name: str, handler: LambdaHandler) -> None:
    for path in ("/v1/models", "/models", "/health/live"):
        event = MAKERS[name](HttpRequest(path=path, stage=stage))
        assert handler(event, Context())["statusCode"] == 200


@pytest.mark.parametrize("name", ["http_api", "rest_api"])
@pytest.mark.parametrize("path", ["/prod/admin/status", "//prod/admin/status"])
def test_a_stage_that_is_written_twice_gets_round_no_key(
    path: str, name: str, make_handler: MakeHandler
) -> None:
    """The router would take it off once more, and then serve what no key was asked for."""
    handler = make_handler(settings=Settings(admin_key=SecretStr("operator")))
    answer = handler(MAKERS[name](HttpRequest(path=path, stage="prod")), Context())
    assert answer["statusCode"] in (401, 404)
    assert "space" not in answer["body"]


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
def test_head_is_answered_without_a_body(
    make_event: Callable[[HttpRequest], Event], handler: LambdaHandler
) -> None:
    expected = handler(make_event(HttpRequest(path="/v1/models")), Context())
    answer = handler(make_event(HttpRequest("HEAD", "/v1/models")), Context())
    assert (answer["statusCode"], answer["body"]) == (200, "")
    assert answer["headers"]["content-length"] == expected["headers"]["content-length"]


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
def test_head_of_what_can_not_be_read_has_the_length_and_no_body(
    make_event: Callable[[HttpRequest], Event], handler: LambdaHandler
) -> None:
    unreadable = {"body": "%", "isBase64Encoded": True}
    expected = handler(make_event(HttpRequest()) | unreadable, Context())
    answer = handler(make_event(HttpRequest("HEAD")) | unreadable, Context())
    assert (answer["statusCode"], answer["body"]) == (400, "")
    length = str(len(expected["body"].encode()))
    assert answer["headers"]["content-length"] == length
    assert expected["headers"]["content-length"] == length


def test_a_wrong_path_is_told_the_base_url_with_the_stage(handler: LambdaHandler) -> None:
    headers = {"host": "abc.example", "x-forwarded-proto": "https"}
    event = http_api(HttpRequest(path="/v1/chat", stage="prod", headers=headers))
    message = _error(handler(event, Context()))["message"]
    assert "'/v1/chat'" in message
    assert "https://abc.example/prod/v1;" in message


def test_a_path_that_only_begins_like_the_stage_is_left_alone(handler: LambdaHandler) -> None:
    event = http_api(HttpRequest(path="/health/live", stage="prod"))
    event["requestContext"]["http"]["path"] = "/production/health/live"
    assert handler(event, Context())["statusCode"] == 404


def test_the_mapping_of_a_domain_is_configured(make_handler: MakeHandler) -> None:
    handler = make_handler(base_path="embeddings/")
    event = rest_api(HttpRequest(path="/embeddings/v1/models"))
    assert handler(event, Context())["statusCode"] == 200


@pytest.mark.parametrize("name", ["http_api", "rest_api"])
def test_the_docs_know_the_stage(name: str, handler: LambdaHandler) -> None:
    event = MAKERS[name](HttpRequest(path="/openapi.json", stage="prod"))
    document = json.loads(handler(event, Context())["body"])
    assert {"url": "/prod"} in document["servers"]


def test_a_large_body_is_refused_at_its_first_unknown_field(handler: LambdaHandler) -> None:
    """The rest, which no parser takes in less than seconds, is not read."""
    body = b"{" + b",".join(b'"k%06d":1' % number for number in range(400_000)) + b"}"
    request = HttpRequest(
        "POST", "/v1/embeddings", headers={"content-type": "application/json"}, body=body
    )
    answer = handler(http_api(request), Context())
    error = _error(answer)
    assert (answer["statusCode"], error["param"]) == (400, "k000000")


def test_errors_of_the_application_have_their_shape(handler: LambdaHandler) -> None:
    answer = handler(http_api(HttpRequest(path="/nowhere")), Context())
    assert (answer["statusCode"], _error(answer)["code"]) == (404, "not_found")


async def _broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("secret")


async def _broken_in_mid_answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("secret")


@pytest.mark.parametrize("app", [_broken, _broken_in_mid_answer])
def test_what_escapes_the_application_has_the_shape_of_all_errors(
    app: ASGIApp, make_handler: MakeHandler
) -> None:
    handler = make_handler(app=app)
    for make_event in MAKERS.values():
        answer = handler(make_event(_post()), Context())
        assert (answer["statusCode"], _error(answer)["code"]) == (500, "internal_error")
        assert "secret" not in json.dumps(answer)


def test_a_load_balancer_with_multi_value_headers_gets_such_headers(
    handler: LambdaHandler,
) -> None:
    event = load_balancer(_post())
    event["multiValueHeaders"] = {name: [value] for name, value in event.pop("headers").items()}
    assert handler(event, Context())["multiValueHeaders"]["content-type"] == ["application/json"]
    event["body"], event["isBase64Encoded"] = "%", True
    refused = handler(event, Context())
    assert refused["multiValueHeaders"]["content-type"] == ["application/json"]


def test_a_body_over_the_limit_is_refused(make_handler: MakeHandler) -> None:
    handler = make_handler(settings=Settings(max_body_bytes=1024))
    answer = handler(http_api(_post({"model": "m", "input": "x" * 2000})), Context())
    assert (answer["statusCode"], _error(answer)["code"]) == (413, "payload_too_large")


@pytest.mark.parametrize("make_event", MAKERS.values(), ids=MAKERS)
def test_hosts_are_the_gateway_s_unless_others_are_named(
    make_event: Callable[[HttpRequest], Event], make_handler: MakeHandler
) -> None:
    """A page may ask by any of them where none is named."""

    def ask(handler: LambdaHandler, host: str) -> int:
        headers = {"Host": host, "Origin": "https://app.example.org"}
        event = make_event(HttpRequest(path="/v1/models", headers=headers))
        status: int = handler(event, Context())["statusCode"]
        return status

    hosts = ("abc.execute-api.eu-central-1.example", "api.example.org")
    assert [ask(make_handler(), host) for host in hosts] == [200, 200]
    handler = make_handler(settings=Settings(allowed_host=hosts[1:]))
    assert [ask(handler, host) for host in hosts] == [400, 200]


def test_what_must_be_looked_after_is_looked_after_before_each_request(
    make_handler: MakeHandler,
) -> None:
    calls: list[None] = []
    handler = make_handler(app=_broken, before_request=lambda: calls.append(None))
    handler(http_api(HttpRequest()), Context())
    handler({"warmup": True}, Context())
    assert calls == [None]
