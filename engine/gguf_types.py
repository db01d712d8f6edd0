"""Types of tensors and of files in GGUF, by the numbers that ggml and llama.cpp give them."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.gguf_header import GgufHeader

TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""Name, weights a block, and bytes a block of each type of tensor."""

FILE_TYPES = {
    0: "f32",
    1: "f16",
    2: "q4_0",
    3: "q4_1",
    7: "q8_0",
    8: "q5_0",
    9: "q5_1",
    10: "q2_k",
    11: "q3_k_s",
    12: "q3_k_m",
    13: "q3_k_l",
    14: "q4_k_s",
    15: "q4_k_m",
    16: "q5_k_s",
    17: "q5_k_m",
    18: "q6_k",
    19: "iq2_xxs",
    20: "iq2_xs",
    21: "q2_k_s",
    22: "iq3_xs",
    23: "iq3_xxs",
    24: "iq1_s",
    25: "iq4_nl",
    26: "iq3_s",
    27: "iq3_m",
    28: "iq2_s",
    29: "iq2_m",
    30: "iq4_xs",
    31: "iq1_m",
    32: "bf16",
    36: "tq1_0",
    37: "tq2_0",
    38: "mxfp4",
    39: "nvfp4",
    40: "q1_0",
}
"""Precision of a file by its `general.file_type`. The names are llama-quantize's, in lower case."""
FLOAT_PRECISIONS = frozenset({"f32", "f16", "bf16"})
"""GGUF precisions that are not quantised."""
_GUESSED = 1024
"""Added to a file type that the file's writer did not know for sure."""


def precision_of(header: GgufHeader) -> str:
    """The precision of a file: what it was quantised as, or the floats that it has.

    A quantised file is a mixture: q4_k_m has q6_k matrices, and where rows can't be cut into the
    wanted blocks, other types stand in for them. So its file type names it, not a majority. Where
    none is stated, or one that contradicts the tensors, the type of most weights does. What stands
    in for a type is more exact: fewer bits in most weights than are stated contradict it.
    """
    sizes: Counter[str] = Counter()
    for name, tensor in header.tensors.items():
        if name.startswith("blk."):
            sizes[TENSOR_TYPES[tensor.type][0].lower()] += math.prod(tensor.shape)
    quantised = {name: size for name, size in sizes.items() if name not in FLOAT_PRECISIONS}
    found = header.metadata.get("general.file_type")
    number = found.value if found is not None and isinstance(found.value, int) else -1
    stated = FILE_TYPES.get(number & ~_GUESSED if number >= 0 else number)
    most = max(quantised or sizes, key=lambda name: sizes[name])
    if not quantised or stated is None or stated in FLOAT_PRECISIONS:
        return most
    return stated if _bits(most) >= _bits(stated) else most


def _bits(precision: str) -> int:
    """Whole bits of a weight, the first number in the name of each quantised type."""
    return int(next(filter(str.isdigit, precision)))
