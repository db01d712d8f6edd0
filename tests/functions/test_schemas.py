from __future__ import annotations

import json

import orjson
import pytest

from engine.errors import InvalidInputError
from engine.types import Truncate
from functions.schemas import EmbeddingsRequest, InputsRequest, TokenizeRequest


def _parse(**fields: object) -> EmbeddingsRequest:
    return EmbeddingsRequest.parse(json.dumps({"model": "m", "input": "a", **fields}).encode())


def test_the_defaults() -> None:
    request = _parse()
    assert (request.model, request.inputs, request.input_count) == ("m", "a", 1)
    assert (request.encoding_format, request.truncate) == ("float", Truncate.NONE)
    assert (request.dimensions, request.user, request.prompt_name) == (None, None, None)


@pytest.mark.parametrize("name", ["encoding_format", "truncate", "dimensions", "user"])
def test_null_is_as_left_out(name: str) -> None:
    assert _parse(**{name: None}) == _parse()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("none", Truncate.NONE),
        ("start", Truncate.START),
        ("end", Truncate.END),
        (True, Truncate.END),
        (False, Truncate.NONE),
    ],
)
def test_truncate(given: object, expected: Truncate) -> None:
    assert _parse(truncate=given).truncate is expected


@pytest.mark.parametrize(
    ("inputs", "count"), [("a", 1), (["a"], 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2]], 2)]
)
def test_all_forms_of_input_reach_the_engine_as_they_are(inputs: object, count: int) -> None:
    request = _parse(input=inputs)
    assert request.inputs == inputs
    assert request.input_count == count


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"model": 1}, "model", "model: input should be a valid string."),
        ({"model": None}, "model", "model: input should be a valid string."),
        ({"input": None}, "input", "input: must be a string, a list of strings"),
        ({"input": 5}, "input", "input: must be a string"),
        ({"input": {"a": "b"}}, "input", "input: must be a string"),
        ({"input": True}, "input", "input: must be a string"),
        ({"encoding_format": "int8"}, "encoding_format", "should be 'float' or 'base64'."),
        ({"dimensions": 0}, "dimensions", "greater than or equal to 1."),
        ({"dimensions": "8"}, "dimensions", "valid integer."),
        ({"dimensions": 8.0}, "dimensions", "valid integer."),
        ({"dimensions": True}, "dimensions", "valid integer."),
        ({"user": 1}, "user", "valid string."),
        ({"truncate": 1}, "truncate", "must be none, end, start or true."),
        ({"truncate": "left"}, "truncate", "must be none, end, start or true."),
        ({"truncate": {}}, "truncate", "must be none, end, start or true."),
        ({"prompt_name": 1}, "prompt_name", "valid string."),
        ({"priority": 1}, "priority", "priority is not a field of this request."),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, object], param: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        _parse(**fields)
    assert caught.value.param == param
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("missing", "left"), [("model", {"input": "a"}), ("input", {"model": "m"})]
)
def test_a_missing_field_is_named(missing: str, left: dict[str, str]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        EmbeddingsRequest.parse(json.dumps(left).encode())
    assert (caught.value.param, caught.value.message) == (missing, f"{missing} is required.")


def test_a_long_unknown_field_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidInputError) as caught:
        _parse(**{"x" * 100_000: 1})
    assert len(caught.value.message) < 200
    assert len(caught.value.param or "") < 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty"),
        (b"{", "not valid JSON"),
        (b'{"model": "m", "input": "\xff"}', "not valid JSON"),
        (b'{"model": "m", "input": "\\ud800"}', "not valid JSON"),
        (b'{"model": "m", "input": [NaN]}', "not valid JSON"),
        (b'{"model": "m", "input": [Infinity]}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
    ],
)
def test_what_is_not_a_json_object_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        EmbeddingsRequest.parse(body)
    assert message in caught.value.message
    assert caught.value.param is None


def test_no_message_has_text_of_the_body() -> None:
    with pytest.raises(InvalidInputError) as caught:
        EmbeddingsRequest.parse(b'{"model": "m", "input": "secret')
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("request_type", [EmbeddingsRequest, TokenizeRequest])
def test_the_document_allows_null_where_null_is_taken(request_type: type[InputsRequest]) -> None:
    """Null means the same as leaving out, for each optional field."""
    schema = request_type.model_json_schema()
    optional = set(schema["properties"]) - set(schema["required"])
    assert optional >= {"truncate", "prompt_name"}
    for name in optional:
        choices = schema["properties"][name]
        assert {"type": "null"} in choices.get("oneOf", choices.get("anyOf", []))
        body = orjson.dumps({"model": "m", "input": "a", name: None})
        assert request_type.parse(body) == request_type.parse(b'{"model": "m", "input": "a"}')
