"""The official Python client against a real socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai._models import FinalRequestOptions
from openai.types import CreateEmbeddingResponse

from engine.engine import Engine
from engine.testing import fake_engine
from tests.functions.targets.serving import ServerProcess

MODEL = "fake-model"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The same model in this process: what the answers must hold."""
    with fake_engine() as opened:
        yield opened


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as opened:
        yield opened


@pytest.fixture
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="any") as opened:
        yield opened


@pytest.mark.parametrize(
    "inputs", ["the cat", ["the cat", "a dog sat"], [2, 5, 6, 3], [[2, 5, 3], [2, 7, 3]]], ids=str
)
def test_every_form_of_input(
    inputs: str | list[str] | list[int] | list[list[int]], client: OpenAI, engine: Engine
) -> None:
    answer = client.embeddings.create(model=MODEL, input=inputs)  # asks for base64
    expected = engine.embed(inputs)
    found = np.array([item.embedding for item in answer.data], np.float32)
    assert np.array_equal(found, expected.vectors)
    assert [item.index for item in answer.data] == list(range(len(found)))
    assert (answer.object, answer.model) == ("list", MODEL)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == expected.usage.prompt_tokens


def test_float_and_base64_are_the_same_vectors(client: OpenAI) -> None:
    answers = [
        client.embeddings.create(model=MODEL, input="the cat", encoding_format=encoding_format)
        for encoding_format in ("float", "base64")
    ]
    floats = np.array(answers[0].data[0].embedding, np.float32)
    raw = answers[1].data[0].embedding
    decoded = np.frombuffer(base64.b64decode(str(raw)), "<f4")
    assert np.array_equal(floats, decoded)


def test_the_async_client(server: ServerProcess, engine: Engine) -> None:
    async def embed() -> list[list[float]]:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
            answers = await asyncio.gather(
                *(client.embeddings.create(model=MODEL, input=text) for text in ("cat", "dog"))
            )
        return [answer.data[0].embedding for answer in answers]

    assert np.array_equal(
        np.array(asyncio.run(embed()), np.float32), engine.embed(["cat", "dog"]).vectors
    )


def test_extensions_go_through_the_extra_body(client: OpenAI) -> None:
    raw = client.embeddings.with_raw_response.create(
        model=MODEL, input=["cat " * 100], extra_body={"truncate": "end"}
    )
    assert raw.headers["x-embellama-truncated"] == "0"
    assert raw.parse().usage.prompt_tokens == 32


def test_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "embellama"


@pytest.mark.parametrize(
    ("arguments", "error", "code", "param"),
    [
        ({"input": ""}, openai.BadRequestError, None, "input"),
        ({"input": []}, openai.BadRequestError, None, "input"),
        (
            {"input": ["a", "cat " * 100]},
            openai.BadRequestError,
            "context_length_exceeded",
            "input[1]",
        ),
        ({"input": [10**6]}, openai.BadRequestError, None, "input"),
        ({"input": "a", "dimensions": 3}, openai.BadRequestError, None, "dimensions"),
        ({"input": "a", "model": "gpt"}, openai.NotFoundError, "model_not_found", "model"),
        (
            {"input": "a", "extra_headers": {"x-embellama-require-space": "other"}},
            openai.ConflictError,
            "space_mismatch",
            None,
        ),
    ],
)
def test_refusals_are_the_clients_own_errors(
    arguments: dict[str, Any],
    error: type[openai.APIStatusError],
    code: str | None,
    param: str | None,
    client: OpenAI,
) -> None:
    create = client.embeddings.create
    with pytest.raises(error) as caught:
        create(**{"model": MODEL, **arguments})
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.request_id
    assert caught.value.type == "invalid_request_error"


def test_a_server_that_is_not_ready_is_retried_as_often_as_asked_and_no_more() -> None:
    with ServerProcess.fake("loading") as loading:
        loading.wait_for_run()
        with (
            OpenAI(base_url=f"{loading.url}/v1", api_key="any", max_retries=1) as client,
            pytest.raises(openai.InternalServerError) as caught,
        ):
            client.embeddings.create(model=MODEL, input="a")
        assert (caught.value.status_code, caught.value.code) == (503, "not_ready")
        loading.go_on()
        loading.event("model ready")
        with OpenAI(base_url=f"{loading.url}/v1", api_key="any") as client:
            assert client.embeddings.create(model=MODEL, input="a").data


def test_a_space_mismatch_is_not_retried(server: ServerProcess) -> None:
    """Retries carry their number, and the client gives the last one in its error."""
    with (
        OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=5) as client,
        pytest.raises(openai.ConflictError) as caught,
    ):
        client.embeddings.create(
            model=MODEL, input="a", extra_headers={"x-embellama-require-space": "other"}
        )
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_a_wrong_key_is_the_clients_own_error() -> None:
    with ServerProcess.fake("free", api_key="right") as locked:
        locked.event("model ready")
        with (
            OpenAI(base_url=f"{locked.url}/v1", api_key="wrong") as client,
            pytest.raises(openai.AuthenticationError) as caught,
        ):
            client.embeddings.create(model=MODEL, input="a")
        assert caught.value.code == "invalid_api_key"
        with OpenAI(base_url=f"{locked.url}/v1", api_key="right") as client:
            assert client.embeddings.create(model=MODEL, input="a").data


def test_a_body_that_is_too_large_is_refused_and_not_retried() -> None:
    with ServerProcess.fake("free", max_body_bytes=1024) as small:
        small.event("model ready")
        with (
            OpenAI(base_url=f"{small.url}/v1", api_key="any", max_retries=5) as client,
            pytest.raises(openai.APIStatusError) as caught,
        ):
            client.embeddings.create(model=MODEL, input="cat " * 1000)
        assert (caught.value.status_code, caught.value.code) == (413, "payload_too_large")
        assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_an_overloaded_server_is_asked_again_when_it_said(pool: ThreadPoolExecutor) -> None:
    """One request runs, one fills the queue, the next is refused and comes back by itself.

    The hook lets the server go on before the client begins to wait, so its one retry succeeds
    however long it waits; how long it waits is asked of the client.
    """
    with ServerProcess.fake("held", max_queue_tokens=3) as busy:
        busy.event("model ready")
        answers: list[httpx2.Response] = []
        others: list[Future[CreateEmbeddingResponse]] = []

        def go_on(answer: httpx2.Response) -> None:
            answers.append(answer)
            if len(answers) == 1:
                for other in others:
                    busy.go_on()
                    assert other.result().data
                busy.go_on()

        url = f"{busy.url}/v1"
        http_client = openai.DefaultHttpxClient(event_hooks={"response": [go_on]})
        with (
            OpenAI(base_url=url, api_key="any") as other,
            OpenAI(base_url=url, api_key="any", max_retries=1, http_client=http_client) as client,
        ):
            others.append(pool.submit(other.embeddings.create, model=MODEL, input="cat"))
            busy.wait_for_run()
            others.append(pool.submit(other.embeddings.create, model=MODEL, input="dog"))
            busy.wait_until_queued(1)
            assert client.embeddings.create(model=MODEL, input="mat").data
            refused, answered = answers
            assert (refused.status_code, answered.status_code) == (429, 200)
            assert answered.request.headers["x-stainless-retry-count"] == "1"
            told = int(refused.headers["retry-after-ms"]) / 1000
            options = FinalRequestOptions.construct(method="post", url="/embeddings")
            assert client._calculate_retry_timeout(1, options, refused.headers) == told
