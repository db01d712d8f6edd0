"""The bytes of an embeddings answer, written once."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import orjson

from engine.types import EmbedResult, FloatArray

EncodingFormat: TypeAlias = Literal["float", "base64"]
ROWS_AT_ONCE = 64
"""Vectors written in one go, in which no other thread can do anything: less than a millisecond."""


def encode_embeddings(result: EmbedResult, *, model: str, encoding_format: EncodingFormat) -> bytes:
    """The body of the answer for vectors (N, D').

    Floats are the shortest decimals that read back as the same float32; base64 holds the
    little-endian float32 values, as the official clients decode them.
    """
    vectors = result.vectors
    encode = _encode_floats if encoding_format == "float" else _encode_base64
    pieces = [
        encode(vectors[start : start + ROWS_AT_ONCE], start)
        for start in range(0, len(vectors), ROWS_AT_ONCE)
    ]
    usage = {
        "prompt_tokens": result.usage.prompt_tokens,
        "total_tokens": result.usage.total_tokens,
    }
    rest = orjson.dumps({"model": model, "usage": usage})
    return b'{"object":"list","data":[' + b",".join(pieces) + b"]," + rest[1:]


def _encode_floats(vectors: FloatArray, start: int) -> bytes:
    return _encode_items(list(np.ascontiguousarray(vectors)), start)


def _encode_base64(vectors: FloatArray, start: int) -> bytes:
    little_endian = vectors.astype("<f4", copy=False)
    rows = [base64.b64encode(row.tobytes()).decode("ascii") for row in little_endian]
    return _encode_items(rows, start)


def _encode_items(rows: Sequence[object], start: int) -> bytes:
    items = [
        {"object": "embedding", "index": index, "embedding": row}
        for index, row in enumerate(rows, start)
    ]
    return orjson.dumps(items, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
