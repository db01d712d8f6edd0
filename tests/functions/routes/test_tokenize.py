from __future__ import annotations

import httpx2
import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings


def _tokenize(client: TestClient, **fields: object) -> httpx2.Response:
    return client.post("/v1/tokenize", json={"model": "fake-model", **fields})


@pytest.mark.parametrize(
    ("inputs", "ids"),
    [
        ("the cat", [[2, 4, 6, 3]]),
        (["the cat", "cat"], [[2, 4, 6, 3], [2, 6, 3]]),
        ([2, 4, 6, 3], [[2, 4, 6, 3]]),
        ([[2, 4, 6, 3], [2, 6]], [[2, 4, 6, 3], [2, 6]]),
    ],
    ids=str,
)
def test_every_form_of_input(inputs: object, ids: list[list[int]], client: TestClient) -> None:
    assert _tokenize(client, input=inputs).json() == {
        "object": "list",
        "data": [
            {
                "object": "tokens",
                "index": index,
                "tokens": len(row),
                "input_ids": row,
                "truncated": False,
            }
            for index, row in enumerate(ids)
        ],
        "model": "fake-model",
        "total_tokens": sum(map(len, ids)),
        "max_input_tokens": 16,
    }


def test_the_count_is_the_usage_of_embedding(client: TestClient) -> None:
    body = {"model": "fake-model", "input": ["the cat", "a dog sat"], "prompt_name": "query"}
    usage = client.post("/v1/embeddings", json=body).json()["usage"]
    assert client.post("/v1/tokenize", json=body).json()["total_tokens"] == usage["total_tokens"]


@pytest.mark.parametrize(("truncate", "kept"), [("end", [6, 6]), ("start", [6, 7])])
def test_truncation_is_what_embedding_does(
    truncate: str, kept: list[int], client: TestClient
) -> None:
    answer = _tokenize(client, input=["cat", "cat " * 20 + "dog"], truncate=truncate)
    (short, cut) = answer.json()["data"]
    assert (short["truncated"], cut["truncated"], cut["tokens"]) == (False, True, 16)
    assert cut["input_ids"][-3:-1] == kept
    assert answer.headers["x-embellama-truncated"] == "1"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"input": "cat " * 20}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": [99]}, 400, "input"),
        ({"input": "cat", "prompt_name": "none"}, 400, "prompt_name"),
        ({"input": "cat", "dimensions": 8}, 400, "dimensions"),
        ({"input": "cat", "model": "other"}, 404, "model"),
        ({}, 400, "input"),
    ],
)
def test_the_checks_are_those_of_embedding(
    fields: dict[str, object], status: int, param: str, client: TestClient
) -> None:
    answer = _tokenize(client, **fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_refusal_says_how_long_the_text_is(client: TestClient) -> None:
    message = _tokenize(client, input="cat " * 20).json()["error"]["message"]
    assert message.startswith("input has 22 tokens, but this model takes at most 16.")


def test_the_body_must_be_json(client: TestClient) -> None:
    answer = client.post("/v1/tokenize", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert "content-type" in answer.json()["error"]["message"]


def test_nothing_is_computed(client: TestClient, engine: Engine) -> None:
    _tokenize(client, input="the cat")
    assert getattr(engine.backend, "batches") == []  # noqa: B009 - the fake backend's own


def test_while_loading_or_draining_it_is_not_offered(engine: Engine) -> None:
    loading = TestClient(create_app(Settings(), ModelRegistry([ServedModel(None)])))
    assert _tokenize(loading, input="cat").json()["error"]["code"] == "not_ready"
    draining = ModelRegistry.of(engine)
    draining.drain()
    answer = _tokenize(TestClient(create_app(Settings(), draining)), input="cat")
    assert answer.json()["error"]["code"] == "shutting_down"
