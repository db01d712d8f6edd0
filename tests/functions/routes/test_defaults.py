"""What a request gets that does not say how its inputs are to be cut, or which prompt they need."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import structlog
from starlette.testclient import TestClient

from engine import EngineConfig
from engine.engine import Engine
from engine.testing import fake_engine
from engine.types import Truncate
from functions.app import create_app
from functions.models import ModelRegistry, ServedModel
from functions.settings import Settings

LONG = "sat " * 20 + "the cat " * 20
INPUTS = [LONG, "the cat", LONG, LONG]
URLS = ["/v1/embeddings", "/v1/tokenize"]
PROMPTS = {"query": "the ", "passage": "a "}


def _engine(truncate: Truncate) -> Engine:
    return fake_engine(max_input_tokens=16, prompts=PROMPTS, config=EngineConfig(truncate=truncate))


@pytest.fixture(params=list(Truncate))
def default(request: pytest.FixtureRequest) -> Truncate:
    return Truncate(request.param)


@pytest.fixture
def engine(default: Truncate) -> Iterator[Engine]:
    with _engine(default) as opened:
        yield opened


def _body(**fields: object) -> dict[str, object]:
    return {"model": "fake-model", "input": INPUTS, **fields}


def test_the_engine_takes_the_default_where_nothing_is_said(
    engine: Engine, default: Truncate
) -> None:
    for said in Truncate:
        wanted = engine.embed("the cat", truncate=said)
        assert wanted.truncated == ()
    if default is Truncate.NONE:
        with pytest.raises(Exception, match="has 62 tokens, but this model takes at most 16"):
            engine.embed(INPUTS)
        return
    found = engine.embed(INPUTS)
    assert found.truncated == (0, 2, 3)
    assert np.array_equal(found.vectors, engine.embed(INPUTS, truncate=default).vectors)


@pytest.mark.parametrize("url", URLS)
def test_a_request_that_says_nothing_gets_the_server_s_default_and_is_told(
    url: str, default: Truncate, client: TestClient, logs: list[structlog.typing.EventDict]
) -> None:
    response = client.post(url, json=_body())
    if default is Truncate.NONE:
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "context_length_exceeded"
        assert "--truncate" in response.json()["error"]["message"]
        return
    assert response.headers["x-embellama-truncated"] == "0,2-3"
    assert response.json()["data"] == client.post(url, json=_body(truncate=default)).json()["data"]
    assert [line["truncated"] for line in logs if line["event"] == "request"] == [3, 3]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("said", ["none", False, "NONE"])
def test_a_request_may_ask_for_a_refusal_whatever_the_default(
    said: object, url: str, client: TestClient
) -> None:
    response = client.post(url, json=_body(truncate=said))
    assert response.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("said", ["end", "END", True, "start", "Start"])
def test_a_request_may_ask_for_another_end_than_the_default(
    said: object, url: str, client: TestClient
) -> None:
    response = client.post(url, json=_body(truncate=said))
    assert response.headers["x-embellama-truncated"] == "0,2-3"


def test_what_was_cut_is_counted(client: TestClient) -> None:
    client.post(URLS[0], json=_body(truncate="end"))
    client.post(URLS[0], json=_body(input="the cat"))
    lines = client.get("/metrics").text.splitlines()
    assert 'embellama_truncated_inputs_total{model="fake-model"} 3.0' in lines


def test_what_was_not_cut_is_no_field_of_the_log(
    client: TestClient, logs: list[structlog.typing.EventDict]
) -> None:
    client.post(URLS[0], json=_body(input="the cat"))
    (line,) = [line for line in logs if line["event"] == "request"]
    assert "truncated" not in line


def test_each_model_has_a_default_of_its_own() -> None:
    settings = Settings(
        truncate=Truncate.END,
        models=[{"path": "/a"}, {"path": "/b", "truncate": "none"}],
    )
    options = settings.model_options()
    assert [model.truncate for model in options] == [Truncate.END, Truncate.NONE]
    cutting, refusing = (
        fake_engine(max_input_tokens=16, config=o.engine_config()) for o in options
    )
    with cutting, refusing:
        models = [ServedModel("cutting"), ServedModel("refusing")]
        for model, engine in zip(models, (cutting, refusing), strict=True):
            model.be_ready(engine)
        client = TestClient(create_app(settings, ModelRegistry(models)))
        assert client.post(URLS[0], json=_body(model="cutting")).status_code == 200
        assert client.post(URLS[0], json=_body(model="refusing")).status_code == 400


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    ("fields", "prompt_name"),
    [
        ({"input_type": "query"}, "query"),
        ({"input_type": "search_query"}, "query"),
        ({"input_type": "SEARCH_DOCUMENT"}, "passage"),
        ({"input_type": "document"}, "passage"),
        ({"input_type": None}, None),
        ({"input_type": "document", "prompt_name": "query"}, "query"),
        ({"input_type": "clustering", "prompt_name": "query"}, "query"),
    ],
)
def test_input_type_chooses_a_prompt_and_prompt_name_wins(
    fields: dict[str, object], prompt_name: str | None, url: str, client: TestClient
) -> None:
    plain = _body(input="cat sat")
    expected = client.post(url, json=plain | {"prompt_name": prompt_name})
    found = client.post(url, json=plain | fields)
    assert (found.status_code, found.json()) == (200, expected.json())
    others = {"query", "passage", None} - {prompt_name}
    for other in others:
        assert client.post(url, json=plain | {"prompt_name": other}).json() != found.json()


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("input_type", ["clustering", "image", "", "x" * 1000])
def test_an_input_type_that_can_t_be_honoured_is_refused(
    input_type: str, url: str, client: TestClient
) -> None:
    response = client.post(url, json=_body(input="cat", input_type=input_type))
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "input_type"
    assert len(error["message"]) < 250


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("input_type", ["query", "document", "search_query", "clustering"])
def test_a_model_without_prompts_takes_any_type_without_effect(input_type: str, url: str) -> None:
    with fake_engine() as engine:
        client = TestClient(create_app(Settings(), engine))
        plain = _body(input="cat")
        expected = client.post(url, json=plain).json()
        assert client.post(url, json=plain | {"input_type": input_type}).json() == expected
