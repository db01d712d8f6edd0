from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings


@pytest.mark.parametrize("prefix", ["/v1/models", "/models"])
def test_the_list_and_one_model_agree(prefix: str, client: TestClient, engine: Engine) -> None:
    listed = client.get(prefix).json()
    (model,) = listed["data"]
    assert listed["object"] == "list"
    assert client.get(f"{prefix}/fake-model").json() == model
    created = model.pop("created")
    assert created > 0
    assert model == {
        "id": "fake-model",
        "object": "model",
        "owned_by": "embellama",
        "embellama": {
            "alias_of": None,
            "aliases": [],
            "space": engine.space,
            "dimensions": 8,
            "matryoshka_dimensions": [4, 2],
            "limits": {
                "max_input_tokens": 16,
                "max_client_batch_size": 2048,
                "max_request_tokens": 300_000,
            },
            "engine": "fake",
            "device": "cpu",
            "precision": "fp32",
            "architecture": "fake",
            "pooling": "mean",
            "normalize": True,
            "prompts": {"query": "the cat "},
            "certificate": None,
        },
    }


def test_a_name_may_have_slashes(engine: Engine) -> None:
    client = TestClient(create_app(Settings(model_name="org/model"), engine))
    assert client.get("/v1/models/org/model").json()["id"] == "org/model"


def test_an_unknown_model_is_a_404(client: TestClient) -> None:
    response = client.get("/v1/models/gpt")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_a_model_that_loads_is_not_listed_yet() -> None:
    client = TestClient(create_app(Settings(), ModelRegistry([ServedModel("m")])))
    assert client.get("/v1/models").json() == {"object": "list", "data": []}
    assert client.get("/v1/models/m").status_code == 503
