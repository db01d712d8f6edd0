from __future__ import annotations

import asyncio
import json

import orjson
import pytest

from engine.errors import InvalidInputError
from engine.types import Truncate
from functions.body_limits import BodyLimits
from functions.json_reader import WINDOW_BYTES
from functions.schemas import EmbeddingsRequest, InputsRequest, TokenizeRequest


def _parse(**fields: object) -> EmbeddingsRequest:
    return EmbeddingsRequest.parse(json.dumps({"model": "m", "input": "a", **fields}).encode())


def test_the_defaults() -> None:
    request = _parse()
    assert (request.model, request.inputs, request.input_count) == ("m", "a", 1)
    assert (request.encoding_format, request.truncate) == ("float", None)
    assert (request.dimensions, request.user, request.prompt_name) == (None, None, None)
    assert request.input_type is None


@pytest.mark.parametrize(
    "name", ["encoding_format", "truncate", "dimensions", "user", "input_type", "not_a_field"]
)
def test_null_is_as_left_out(name: str) -> None:
    assert _parse(**{name: None}) == _parse()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("none", Truncate.NONE),
        ("start", Truncate.START),
        ("end", Truncate.END),
        ("END", Truncate.END),
        ("Start", Truncate.START),
        ("NONE", Truncate.NONE),
        (True, Truncate.END),
        (False, Truncate.NONE),
        ("true", Truncate.END),
        ("TRUE", Truncate.END),
        ("False", Truncate.NONE),
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
        ({"truncate": "yes"}, "truncate", "must be none, end, start or true."),
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


def test_a_field_that_is_not_ours_is_named_before_one_that_is_missing() -> None:
    with pytest.raises(
        InvalidInputError, match=r"^inputs is not a field of this request\. Send input:"
    ):
        EmbeddingsRequest.parse(b'{"model": "m", "inputs": "a"}')


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
        (b"[" * 100_000, "must be a JSON object"),
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


@pytest.mark.parametrize(
    ("value", "param", "message"),
    [
        (b'"\xff"', "input", "input is not valid UTF-8 at byte 25, but"),
        (b'["a", "b\xe9"]', "input[1]", "input[1] is not valid UTF-8 at byte 32, but"),
        (b'"\\ud800"', "input", "input has a lone surrogate at byte 25,"),
        (b'["a", "b\\udc00"]', "input[1]", "input[1] has a lone surrogate at byte 32,"),
        (b"[NaN]", "input[0]", "not valid JSON: input[0]: unexpected character"),
        (b"[1, Infinity]", "input[1]", "not valid JSON: input[1]: unexpected character"),
        (b"[[1, 2], [1, 01]]", "input[1][1]", "at byte 37."),
        (
            b'"a\\x"',
            "input",
            "input: invalid escaped sequence in string at byte 26.",
        ),
    ],
)
def test_malformed_values_are_named_with_the_byte(value: bytes, param: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        EmbeddingsRequest.parse(b'{"model": "m", "input": ' + value + b"}")
    assert caught.value.param == param
    assert message in caught.value.message


def test_a_byte_order_mark_is_no_part_of_the_json() -> None:
    plain = b'{"model": "m", "input": "a"}'
    assert EmbeddingsRequest.parse(b"\xef\xbb\xbf" + plain) == EmbeddingsRequest.parse(plain)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
def test_another_encoding_is_named(encoding: str) -> None:
    with pytest.raises(InvalidInputError, match="UTF-16 or UTF-32 in place of UTF-8 at byte 0"):
        EmbeddingsRequest.parse('{"model": "m", "input": "a"}'.encode(encoding))


@pytest.mark.parametrize("padding", ["", " " * 40_000], ids=["small", "large"])
def test_the_last_of_two_fields_counts(padding: str) -> None:
    body = '{"model": "m", "input": ["a"], "user": "u", "input": "b", "user": "v"}' + padding
    request = EmbeddingsRequest.parse(body.encode())
    assert (request.inputs, request.user) == ("b", "v")


@pytest.mark.parametrize("name", ["user", "prompt_name", "input_type", "truncate"])
def test_a_text_that_is_no_input_has_a_bound(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        _parse(**{name: "\u00e9" * 65_537})
    assert (caught.value.param, caught.value.message) == (
        name,
        f"{name} has more than 65536 characters.",
    )


def test_of_a_name_without_end_the_beginning_is_looked_for() -> None:
    """It is the name of no model, which is told by the one error for that."""
    assert len(_parse(model="m" * 1_000_000).model) == 65_537
    assert _parse(user="u" * 65_536).user == "u" * 65_536


def test_a_large_body_is_read_in_turns_with_others() -> None:
    body = orjson.dumps({"model": "m", "input": ["word " * 100] * 2000})
    limits = BodyLimits(max_inputs=2048, max_token_ids=0)

    async def main() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        assert await EmbeddingsRequest.read(body, limits) == EmbeddingsRequest.parse(body)
        beside.cancel()
        return turns

    assert asyncio.run(main()) >= len(body) // WINDOW_BYTES


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


def test_of_a_field_that_comes_twice_the_last_counts_and_all_are_checked() -> None:
    """As docs/api.md says."""
    twice = b'{"model": "m", "input": ["%b"], "input": "x"}'
    assert EmbeddingsRequest.parse(twice % b"y").input == "x"
    with pytest.raises(InvalidInputError, match="surrogate"):
        EmbeddingsRequest.parse(twice % b"\\ud800")
