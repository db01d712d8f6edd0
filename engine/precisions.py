"""Precisions of weights files, by their names: which can be made, and which is more exact."""

from __future__ import annotations

from engine.model import FileRole

GGUF_PRECISIONS = ("f32", "f16", "q8_0")
ONNX_PRECISIONS = ("fp32", "q8_0", "int8")
EXPORTED_PRECISIONS = {FileRole.GGUF: GGUF_PRECISIONS, FileRole.ONNX: ONNX_PRECISIONS}
"""What an export can write, the most exact one first."""
EXACTNESS = (
    *("fp32", "f32", "f16", "bf16", "q8_0", "int8", "q6_k"),
    *("q5_k_m", "q5_k_s", "q5_1", "q5_0", "q4_k_m", "q4_k_s", "q4_1", "iq4_nl", "iq4_xs", "q4_0"),
    *("q3_k_l", "q3_k_m", "iq3_m", "iq3_s", "iq3_xs", "q3_k_s", "iq3_xxs", "q2_k"),
)
"""The most exact one first, by bits a weight; others come after these."""
EXACT = frozenset({"fp32", "f32", "f16"})
"""What keeps the vectors of float weights to a cosine of 0.9999, as far as anyone measured."""
