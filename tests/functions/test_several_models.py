from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from engine.engine import Engine
from engine.testing import fake_engine
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings

URL = "/v1/embeddings"


@pytest.fixture
def client() -> Iterator[TestClient]:
    with fake_engine(dimensions=8) as small, fake_engine(dimensions=16) as large:
        models = [ServedModel("small", ["s"]), ServedModel("large")]
        for model, engine in zip(models, (small, large), strict=True):
            model.be_ready(engine)
        yield TestClient(create_app(Settings(), ModelRegistry(models, in_tables=True)))


@pytest.mark.parametrize(
    ("asked", "answered", "dimensions"),
    [("small", "small", 8), ("s", "small", 8), ("large", "large", 16)],
)
def test_the_request_chooses(
    asked: str, answered: str, dimensions: int, client: TestClient
) -> None:
    answer = client.post(URL, json={"model": asked, "input": "the cat"}).json()
    assert answer["model"] == answered
    assert len(answer["data"][0]["embedding"]) == dimensions


def test_any_other_name_is_a_404_that_lists_those_served(client: TestClient) -> None:
    response = client.post(URL, json={"model": "medium", "input": "the cat"})
    assert response.status_code == 404
    listed = [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert listed == ["small", "s", "fake-model", "large"]
    assert response.json()["error"]["message"] == (
        "The model 'medium' is not served here. Served: small, s, fake-model, large. "
        "`aliases` in the tables of the server's option --models give further names."
    )


def test_all_are_listed_with_their_aliases(client: TestClient) -> None:
    listed = client.get("/v1/models").json()["data"]
    found = [(model["id"], model["embellama"]["aliases"]) for model in listed]
    assert found == [
        ("small", ["s", "fake-model"]),
        ("s", ["small", "fake-model"]),
        ("fake-model", ["small", "s"]),
        ("large", []),  # The one before it has the manifest's name.
    ]
    assert client.get("/v1/models/s").json()["id"] == "s"


def test_served_names_are_names_of_the_single_model(engine: Engine) -> None:
    settings = Settings(served_model_name=("text-embedding-3-small", "other"))
    client = TestClient(create_app(settings, engine))
    for name in ("text-embedding-3-small", "other"):
        answer = client.post(URL, json={"model": name, "input": "the cat"}).json()
        assert answer["model"] == "text-embedding-3-small"
    answer = client.post(URL, json={"model": "fake-model", "input": "a"}).json()
    assert answer["model"] == "text-embedding-3-small"
