"""The same model at another precision: a GGUF file -> a new GGUF file."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.precisions import GGUF_PRECISIONS
from engine.types import FloatArray

_FILE_TYPE = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}
_TYPE = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_FLOATS = frozenset(
    {
        gguf.GGMLQuantizationType.F32,
        gguf.GGMLQuantizationType.F16,
        gguf.GGMLQuantizationType.BF16,
    }
)
_ALWAYS_F32 = frozenset({"position_embd.weight", "token_types.weight"})
"""llama.cpp adds them to activations, for which it wants float32."""
_MATRIX = 2


def write_at_precision(source: GgufFile, path: Path, precision: str) -> None:
    """Write all tensors of `source` at `precision`; vectors and positions stay float32.

    To float32 any source may go, exactly. Below that only a source of floats may go: rounding
    what was rounded before would make a third model of it. A matrix whose rows can't be cut
    into blocks of 32 is stored as float16 in a q8_0 file, as llama.cpp's own converter does.

    Raises:
        ExportError: the precision is not known, or can't be reached from the source.
    """
    if precision not in _TYPE:
        raise ExportError(
            f"A GGUF file of the precision {precision!r} can't be written. "
            f"Known: {', '.join(GGUF_PRECISIONS)}."
        )
    if precision != "f32" and not all(source.type_of(name) in _FLOATS for name in source.names):
        raise ExportError(
            f"{source.path} is quantised ({source.precision}): quantising it again to "
            f"{precision} would change its weights. Take a source of float weights, or f32."
        )
    writer = gguf.GGUFWriter(path, source.architecture)
    for row in source.metadata():
        if row.key not in ("general.architecture", "general.file_type"):
            item_type = None if row.item_type is None else gguf.GGUFValueType(row.item_type)
            writer.add_key_value(row.key, row.value, gguf.GGUFValueType(row.type), item_type)
    writer.add_file_type(_FILE_TYPE[precision])
    for name in sorted(source.names):
        values = source.tensor(name)
        kind = _type_for(name, values, precision)
        writer.add_tensor(name, _encode(name, values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _type_for(name: str, values: FloatArray, precision: str) -> gguf.GGMLQuantizationType:
    if values.ndim < _MATRIX or name in _ALWAYS_F32:
        return gguf.GGMLQuantizationType.F32
    kind = _TYPE[precision]
    block = gguf.GGML_QUANT_SIZES[kind][0]
    return kind if values.shape[-1] % block == 0 else gguf.GGMLQuantizationType.F16


def _encode(name: str, values: FloatArray, kind: gguf.GGMLQuantizationType) -> NDArray[np.generic]:
    limit = float(np.finfo(np.float16).max)
    if kind is not gguf.GGMLQuantizationType.F32 and not np.abs(values).max(initial=0) <= limit:
        raise ExportError(f"The tensor {name!r} has values beyond {limit:g}: use f32.")
    encoded: NDArray[np.generic] = gguf.quants.quantize(values, kind)
    return encoded
