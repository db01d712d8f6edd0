from __future__ import annotations

import base64
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from engine import EngineConfig
from engine.engine import Engine
from engine.errors import BackendError
from engine.testing import fake_engine
from engine.types import Batch, Truncate
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.routes.embeddings import runs
from functions.settings import Settings

URL = "/v1/embeddings"
Body = dict[str, object]


def _body(**fields: object) -> Body:
    return {"model": "fake-model", "input": "the cat", **fields}


def _vectors(client: TestClient, **fields: object) -> NDArray[np.float32]:
    response = client.post(URL, json=_body(**fields))
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]], np.float32)


@pytest.mark.parametrize("url", [URL, "/embeddings"])
def test_an_answer_is_what_the_engine_computed(
    url: str, client: TestClient, engine: Engine
) -> None:
    response = client.post(url, json=_body())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-embellama-space"] == engine.space
    assert "x-embellama-truncated" not in response.headers
    assert response.json() == {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": 0,
                "embedding": [float(str(value)) for value in engine.embed("the cat").vectors[0]],
            }
        ],
        "model": "fake-model",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }


@pytest.mark.parametrize(
    "inputs", [["the cat", "a dog sat"], [2, 5, 6, 3], [[2, 5, 3], [2, 7]], " ", "\u0000", "\u00e9"]
)
def test_every_form_of_input_is_embedded(
    inputs: str | list[str] | list[int], client: TestClient, engine: Engine
) -> None:
    assert np.array_equal(_vectors(client, input=inputs), engine.embed(inputs).vectors)


def test_base64_holds_the_same_floats(client: TestClient) -> None:
    item = client.post(URL, json=_body(encoding_format="base64")).json()["data"][0]
    decoded = np.frombuffer(base64.b64decode(item["embedding"], validate=True), "<f4")
    assert np.array_equal(decoded, _vectors(client)[0])


def test_dimensions_prompt_and_truncate_reach_the_engine(
    client: TestClient, engine: Engine
) -> None:
    expected = engine.embed("sat " * 40, dimensions=4, prompt_name="query", truncate=Truncate.START)
    found = _vectors(client, input="sat " * 40, dimensions=4, prompt_name="query", truncate="start")
    assert np.array_equal(found, expected.vectors)


def test_inputs_that_were_cut_are_listed(client: TestClient) -> None:
    inputs = ["cat " * 40, "cat", "cat " * 41, "cat " * 42]
    response = client.post(URL, json=_body(input=inputs, truncate=True))
    assert response.headers["x-embellama-truncated"] == "0,2-3"
    assert response.json()["usage"]["prompt_tokens"] == 16 + 3 + 16 + 16


@pytest.mark.parametrize(
    ("indices", "expected"),
    [([], []), ([4], ["4"]), ([0, 1, 2], ["0-2"]), ([0, 2, 3, 9], ["0", "2-3", "9"])],
)
def test_runs(indices: list[int], expected: list[str]) -> None:
    assert runs(indices) == expected


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"input": ""}, "input", None),
        ({"input": []}, "input", None),
        ({"input": ["cat", ""]}, "input[1]", None),
        ({"input": [[5], []]}, "input[1]", None),
        ({"input": ["cat", 5]}, "input[1]", None),
        ({"input": [5, "cat"]}, "input[1]", None),
        ({"input": [[5], "cat"]}, "input[1]", None),
        ({"input": [None, "cat"]}, "input[0]", None),
        ({"input": ["cat", None]}, "input[1]", None),
        ({"input": [5, None]}, "input[1]", None),
        ({"input": [True, False]}, "input[0]", None),
        ({"input": [[5], [True]]}, "input[1][0]", None),
        ({"input": [5.0]}, "input[0]", None),
        ({"input": [5.5, 6]}, "input[0]", None),
        ({"input": [None]}, "input[0]", None),
        ({"input": [{}]}, "input[0]", None),
        ({"input": [[[5]]]}, "input[0][0]", None),
        ({"input": [-1]}, "input", None),
        ({"input": [5, 10**6]}, "input", None),
        ({"input": [5, 6]}, "input", "foreign_token_ids"),
        ({"input": [[2, 5, 3], [5, 6]]}, "input[1]", "foreign_token_ids"),
        ({"input": [2**63]}, "input", None),
        ({"input": [2**200]}, "input[0]", None),
        ({"input": "cat " * 40}, "input", "context_length_exceeded"),
        ({"input": ["a", "cat " * 40]}, "input[1]", "context_length_exceeded"),
        ({"input": ["a"] * 2049}, "input", None),
        ({"dimensions": 3}, "dimensions", None),
        ({"dimensions": 9}, "dimensions", None),
        ({"prompt_name": "none"}, "prompt_name", None),
        ({"stream": True}, "stream", None),
    ],
)
def test_bad_input_is_one_clear_error(
    fields: Body, param: str, code: str | None, client: TestClient
) -> None:
    response = client.post(URL, json=_body(**fields))
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("depth", [100, 1000, 100_000])
def test_deep_nesting_is_refused(depth: int, client: TestClient) -> None:
    body = b'{"model": "fake-model", "input": ' + b"[" * depth + b"]" * depth + b"}"
    response = client.post(URL, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 400


def test_the_largest_batch_passes(client: TestClient) -> None:
    assert len(_vectors(client, input=["a"] * 2048)) == 2048


def test_an_unknown_model_is_a_404(client: TestClient) -> None:
    response = client.post(URL, json=_body(model="gpt"))
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 400),
        ("application/x-www-form-urlencoded", 400),
        (None, 400),
    ],
)
def test_the_content_type_must_be_json(
    content_type: str | None, status: int, client: TestClient
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    body = b'{"model": "fake-model", "input": "cat"}'
    assert client.post(URL, content=body, headers=headers).status_code == status


def test_a_compressed_body_is_refused(client: TestClient) -> None:
    response = client.post(URL, json=_body(), headers={"content-encoding": "gzip"})
    assert response.status_code == 400
    assert "content-encoding" in response.json()["error"]["message"]


def test_a_body_over_the_limit_is_a_413(engine: Engine) -> None:
    client = TestClient(create_app(Settings(max_body_bytes=1024), engine))
    response = client.post(URL, json=_body(input="cat " * 500))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize("same", [True, False])
def test_a_required_space_is_compared(same: bool, client: TestClient, engine: Engine) -> None:
    required = engine.space if same else "0" * 32
    response = client.post(URL, json=_body(), headers={"x-embellama-require-space": required})
    assert response.status_code == (200 if same else 409)
    if not same:
        assert response.headers["x-should-retry"] == "false"
        assert response.json()["error"]["code"] == "space_mismatch"


def test_a_failing_backend_is_a_500_without_details() -> None:
    def fail(_: Batch) -> None:
        raise BackendError("secret")

    with fake_engine(before_run=fail) as engine:
        response = TestClient(create_app(Settings(), engine)).post(URL, json=_body())
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text


def test_a_model_that_loads_is_a_503() -> None:
    app = create_app(Settings(), ModelRegistry([ServedModel(None)]))
    response = TestClient(app).post(URL, json=_body())
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert response.headers["retry-after"] == "2"


@pytest.fixture
def held() -> Iterator[tuple[Engine, threading.Event, threading.Event]]:
    """An engine of one input a run, whose first run says when it began and waits to be let go."""
    began, go_on = threading.Event(), threading.Event()

    def wait(_: Batch) -> None:
        began.set()
        go_on.wait()

    config = EngineConfig(max_batch_tokens=4, max_queue_tokens=4)
    with fake_engine(before_run=wait, config=config) as engine:
        yield engine, began, go_on
        go_on.set()


def _in_thread(client: TestClient, answers: list[int], **fields: object) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: answers.append(client.post(URL, json=_body(**fields)).status_code)
    )
    thread.start()
    return thread


def test_a_drain_refuses_new_requests_and_finishes_those_in_flight(
    held: tuple[Engine, threading.Event, threading.Event],
) -> None:
    engine, began, go_on = held
    registry = ModelRegistry.of(engine)
    client = TestClient(create_app(Settings(), registry))
    answers: list[int] = []
    in_flight = _in_thread(client, answers)
    began.wait()
    registry.drain()
    refused = client.post(URL, json=_body())
    go_on.set()
    in_flight.join()
    assert answers == [200]
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")


def test_a_full_queue_is_a_429_with_both_retry_headers(
    held: tuple[Engine, threading.Event, threading.Event],
) -> None:
    engine, began, go_on = held
    client = TestClient(create_app(Settings(), engine))
    answers: list[int] = []
    in_flight = _in_thread(client, answers, input=["the cat", "a dog"])
    began.wait()
    refused = client.post(URL, json=_body())
    go_on.set()
    in_flight.join()
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "overloaded")
    assert int(refused.headers["retry-after-ms"]) > 0
    assert int(refused.headers["retry-after"]) > 0
    assert answers == [200]
