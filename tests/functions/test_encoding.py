from __future__ import annotations

import base64

import numpy as np
import orjson
import pytest

from engine.types import EmbedResult, FloatArray, Timings, Usage
from functions.encoding import ROWS_AT_ONCE, EncodingFormat, encode_embeddings

VALUES = np.array([[0.1, -1 / 3, 1e-7], [1.0, 0.0, -3.4e38]], dtype=np.float32)


def _encode(vectors: FloatArray, encoding_format: EncodingFormat) -> bytes:
    result = EmbedResult(vectors, Usage(7), (), Timings(0.0, 0.0, 0.0))
    return encode_embeddings(result, model="m", encoding_format=encoding_format)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_an_answer_has_exactly_the_keys_of_openai(encoding_format: EncodingFormat) -> None:
    body = orjson.loads(_encode(VALUES, encoding_format))
    assert list(body) == ["object", "data", "model", "usage"]
    assert (body["object"], body["model"]) == ("list", "m")
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert [list(item) for item in body["data"]] == [["object", "index", "embedding"]] * 2
    assert [(item["object"], item["index"]) for item in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]


def test_floats_read_back_as_the_same_float32() -> None:
    data = orjson.loads(_encode(VALUES, "float"))["data"]
    assert np.array_equal(np.array([item["embedding"] for item in data], np.float32), VALUES)


def test_floats_are_the_shortest_that_do() -> None:
    assert b"[0.1," in _encode(VALUES, "float")


def test_base64_is_padded_little_endian_float32() -> None:
    data = orjson.loads(_encode(VALUES, "base64"))["data"]
    for item, row in zip(data, VALUES, strict=True):
        raw = base64.b64decode(item["embedding"], validate=True)
        assert np.array_equal(np.frombuffer(raw, "<f4"), row)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
def test_rows_need_not_be_contiguous(encoding_format: EncodingFormat) -> None:
    wide = np.concatenate([VALUES, VALUES], axis=1)
    assert _encode(wide[:, :3], encoding_format) == _encode(VALUES, encoding_format)


@pytest.mark.parametrize("encoding_format", ["float", "base64"])
@pytest.mark.parametrize("rows", [ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 300])
def test_many_vectors_are_written_as_one_list(rows: int, encoding_format: EncodingFormat) -> None:
    """However many are written in one go, all come in order, each once."""
    vectors = np.random.default_rng(1).normal(size=(rows, 3)).astype(np.float32)
    data = orjson.loads(_encode(vectors, encoding_format))["data"]
    assert [item["index"] for item in data] == list(range(rows))
    read = [
        np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
        if encoding_format == "base64"
        else np.array(item["embedding"], np.float32)
        for item in data
    ]
    assert np.array_equal(np.stack(read), vectors)
