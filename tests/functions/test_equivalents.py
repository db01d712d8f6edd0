from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from functions.equivalents import _ADVICE, EQUIVALENTS, unknown_field
from functions.schemas import EmbeddingsRequest, InputsRequest, TokenizeRequest

REQUESTS: dict[str, type[InputsRequest]] = {
    "/v1/embeddings": EmbeddingsRequest,
    "/v1/tokenize": TokenizeRequest,
}


@pytest.mark.parametrize("url", REQUESTS)
@pytest.mark.parametrize("name", EQUIVALENTS)
def test_a_field_of_another_api_is_refused_with_what_to_send_instead(
    name: str, url: str, client: TestClient
) -> None:
    response = client.post(url, json={"model": "fake-model", "input": "the cat", name: "x"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == name
    equivalent = EQUIVALENTS[name]
    if equivalent not in _ADVICE:
        assert error["message"] == f"{name} is not a field of this request. {equivalent}"
    elif equivalent in REQUESTS[url].model_fields:
        assert f" Send {equivalent}: " in error["message"]
    else:
        assert error["message"] == f"{name} is not a field of this request."


def test_the_type_of_numbers_is_no_encoding() -> None:
    """An int8 vector is neither of the encodings."""
    error = unknown_field("output_dtype", EmbeddingsRequest.model_fields)
    assert "floats only" in error.message
    assert "encoding_format" not in error.message


def test_an_equivalent_is_a_field_or_a_sentence() -> None:
    fields = set(EmbeddingsRequest.model_fields)
    assert set(_ADVICE) <= fields
    for name, equivalent in EQUIVALENTS.items():
        assert name not in fields
        assert equivalent in _ADVICE or equivalent.endswith(".")


@pytest.mark.parametrize("url", REQUESTS)
@pytest.mark.parametrize("name", ["stream", *EQUIVALENTS])
def test_null_says_nothing_whatever_the_field(name: str, url: str, client: TestClient) -> None:
    """Typed clients send each field that they know, as null where it was not set."""
    plain = {"model": "fake-model", "input": "the cat"}
    assert client.post(url, json=plain | {name: None}).json() == client.post(url, json=plain).json()


def test_a_name_of_nobody_has_no_advice() -> None:
    error = unknown_field("x" * 100, EmbeddingsRequest.model_fields)
    assert error.message == f"{'x' * 64}... is not a field of this request."
    assert error.param == f"{'x' * 64}..."


def test_the_first_field_that_says_something_is_refused() -> None:
    body = json.dumps({"a": None, "b": 1, "c": 2, "input": 5}).encode()
    with pytest.raises(Exception, match=r"^b is not a field"):
        EmbeddingsRequest.parse(body)
