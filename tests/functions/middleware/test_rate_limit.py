from __future__ import annotations

import pytest
import structlog
from starlette.testclient import TestClient

from engine.backends.fake import FakeBackend
from engine.engine import Engine
from functions.app import create_app
from functions.settings import Settings
from tests.functions.ports import free_port

Logs = list[structlog.typing.EventDict]
URL = "/v1/embeddings"
UNITS = ("requests", "tokens")
HEADERS = {f"x-ratelimit-{what}-{u}" for what in ("limit", "remaining", "reset") for u in UNITS}


def _body(inputs: object = "the cat", **fields: object) -> dict[str, object]:
    return {"model": "fake-model", "input": inputs, **fields}


def _client(engine: Engine, **options: object) -> TestClient:
    return TestClient(create_app(Settings.model_validate(options), engine))


def test_without_limits_there_are_no_headers(client: TestClient) -> None:
    assert not HEADERS & set(client.post(URL, json=_body()).headers)


def test_every_answer_has_the_headers(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=100, tokens_per_minute=100)
    for response in (
        client.post(URL, json=_body()),
        client.post(URL, json=_body(model="gpt")),
        client.post(URL, content=b"{"),
        client.get("/v1/models"),
        client.get("/nowhere"),
        client.get(URL),
    ):
        assert set(response.headers) >= HEADERS, response.status_code


def test_the_headers_of_an_answer_count_its_own_tokens(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=100, tokens_per_minute=100)
    response = client.post(URL, json=_body(["the cat", "the cat", "cat " * 40], truncate=True))
    assert response.json()["usage"]["prompt_tokens"] == 4 + 4 + 16
    assert response.headers["x-ratelimit-remaining-tokens"] == str(100 - 24)
    assert response.headers["x-ratelimit-remaining-requests"] == "99"


def test_one_request_too_many_is_a_429(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=2)
    assert [client.post(URL, json=_body()).status_code for _ in range(2)] == [200, 200]
    refused = client.get("/v1/models")
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "rate_limit_error",
        None,
        "rate_limit_exceeded",
    )
    milliseconds = int(refused.headers["retry-after-ms"])
    assert 0 < milliseconds <= 120_000
    assert int(refused.headers["retry-after"]) == -(-milliseconds // 1000)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_tokens_that_do_not_fit_are_never_computed(engine: Engine) -> None:
    client = _client(engine, tokens_per_minute=10)
    assert client.post(URL, json=_body("the cat sat")).status_code == 200
    assert isinstance(engine.backend, FakeBackend)
    ran = len(engine.backend.batches)
    refused = client.post(URL, json=_body(["the cat", "a"]))
    assert (refused.status_code, refused.headers["x-ratelimit-remaining-tokens"]) == (429, "5")
    assert len(engine.backend.batches) == ran
    assert client.post(URL, json=_body("the cat sat")).status_code == 200


def test_a_request_over_the_whole_limit_is_not_to_be_retried(engine: Engine) -> None:
    refused = _client(engine, tokens_per_minute=3).post(URL, json=_body())
    assert (refused.status_code, refused.headers["x-should-retry"]) == (429, "false")
    assert refused.headers["retry-after"] == "60"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_bad_input_takes_no_tokens(engine: Engine) -> None:
    client = _client(engine, tokens_per_minute=100)
    refused = client.post(URL, json=_body("cat " * 40))
    assert (refused.status_code, refused.headers["x-ratelimit-remaining-tokens"]) == (400, "100")


def test_keys_are_counted_by_name(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=1, api_key=["a:1", "a:2", "b:3"])
    found = [client.get("/v1/models", headers={"x-api-key": key}).status_code for key in "123"]
    assert found == [200, 429, 200]


def test_a_wrong_key_costs_nobody_anything(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=1, api_key=["a:1"])
    found = [client.get("/v1/models", headers={"x-api-key": key}).status_code for key in "221"]
    assert found == [401, 401, 200]


@pytest.mark.parametrize(("hops", "second"), [(0, 429), (1, 200)])
def test_addresses_are_counted_as_the_proxies_tell(hops: int, second: int, engine: Engine) -> None:
    client = _client(engine, requests_per_minute=1, trusted_proxy_hops=hops)
    found = [
        client.get("/v1/models", headers={"x-forwarded-for": address}).status_code
        for address in ("1.1.1.1", "2.2.2.2")
    ]
    assert found == [200, second]


def test_probes_are_not_counted(engine: Engine) -> None:
    client = _client(engine, requests_per_minute=1)
    for path in ("/health", "/health/ready", "/metrics", "/health/live"):
        assert client.get(path).status_code == 200
    assert client.get("/v1/models").status_code == 200


def test_a_storage_that_is_down_lets_requests_pass(engine: Engine, logs: Logs) -> None:
    url = f"redis://:sesame@127.0.0.1:{free_port()}"
    client = _client(engine, requests_per_minute=1, rate_limit_storage=url)
    for _ in range(3):
        response = client.post(URL, json=_body())
        assert response.status_code == 200
        assert not HEADERS & set(response.headers)
    lines = [line for line in logs if line["event"] == "request"]
    assert [line["rate_limits"] for line in lines] == ["off"] * 3
    assert "sesame" not in str(logs)
