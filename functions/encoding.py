"""The bytes of an embeddings answer, written once."""

from __future__ import annotations

import base64
from typing import Literal, TypeAlias

import numpy as np
import orjson

from engine.types import EmbedResult

EncodingFormat: TypeAlias = Literal["float", "base64"]


def encode_embeddings(result: EmbedResult, *, model: str, encoding_format: EncodingFormat) -> bytes:
    """The body of the answer for vectors (N, D').

    Floats are the shortest decimals that read back as the same float32; base64 holds the
    little-endian float32 values, as the official clients decode them.
    """
    rows: list[object]
    if encoding_format == "base64":
        little_endian = result.vectors.astype("<f4", copy=False)
        rows = [base64.b64encode(row.tobytes()).decode("ascii") for row in little_endian]
    else:
        rows = list(np.ascontiguousarray(result.vectors))
    return orjson.dumps(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": row}
                for index, row in enumerate(rows)
            ],
            "model": model,
            "usage": {
                "prompt_tokens": result.usage.prompt_tokens,
                "total_tokens": result.usage.total_tokens,
            },
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
