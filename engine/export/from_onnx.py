"""An ONNX directory as a source, as optimum writes it: the file is copied, and is the reference."""

from __future__ import annotations

import importlib.metadata
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from engine.backends.onnx import OnnxBackend
from engine.errors import ExportError
from engine.export.architectures.checks import number
from engine.export.checkpoint import Checkpoint
from engine.export.from_checkpoint import facts_of
from engine.export.model_source import ModelSource, OnnxFile, Opening
from engine.export.options import Facts
from engine.golden import AGAINST_QUANTISED
from engine.model import combined_sha256, sha256_of
from engine.pooling import pool
from engine.postprocess import finish
from engine.types import Batch, Encoding, FloatArray, IntArray, Pooling

ONNX_PATHS = ("model.onnx", "onnx/model.onnx")
"""Where a directory may have its graph."""
_PRECISION = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
}
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_FLOATS = frozenset({"fp32", "fp16", "bf16"})


def open_onnx(opening: Opening) -> ModelSource:
    """Read `model.onnx`, `tokenizer.json`, `config.json`, and sentence-transformers' files.

    Raises:
        ExportError: a file is missing or damaged.
        IntegrityError: the graph is not one that the backend can run.
    """
    checkpoint = Checkpoint.open(opening.path, needs_weights=False)
    return source_of_onnx(opening.path, checkpoint, facts_of(checkpoint, opening))


def source_of_onnx(directory: Path, checkpoint: Checkpoint, facts: Facts) -> ModelSource:
    """A directory's ONNX file as a source.

    Raises:
        ExportError: the file is damaged, or has its weights in several files.
        IntegrityError: the graph is not one that the backend can run.
    """
    if checkpoint.config_arguments:
        raise ExportError(
            f"sentence-transformers' files of {directory} change config.json "
            f"({', '.join(checkpoint.config_arguments)}), which a ready ONNX file doesn't follow. "
            "State it in config.json of a copy, and write the ONNX file anew."
        )
    pooling = facts.required_pooling
    file = _read(next(directory / name for name in ONNX_PATHS if (directory / name).is_file()))
    reference = OnnxReference(file)
    probe = reference.embed([np.array([0], dtype=np.int32)], pooling=pooling, normalize=False)
    hashes = [sha256_of(path) for path in (file.path, file.data) if path is not None]
    return ModelSource(
        facts=facts,
        architecture=checkpoint.model_type or "unknown",
        dimensions=probe.shape[1],
        vocabulary_size=number(checkpoint.config, "vocab_size"),
        tokenizer_json=checkpoint.tokenizer_json,
        weights_sha256=combined_sha256(hashes),
        default_gguf=(),
        default_onnx=(file.precision,),
        onnx=(file,),
        notes=facts.notes,
    )


class OnnxReference:
    """Vectors of an ONNX file, one sequence a run, so that no padding takes part."""

    def __init__(self, file: OnnxFile) -> None:
        self._file = file
        own = "" if file.precision in _FLOATS else f", {AGAINST_QUANTISED}"
        version = importlib.metadata.version("onnxruntime")
        self.name = f"onnxruntime {version}, {file.path.name}{own}"

    def embed(self, sequences: list[IntArray], *, pooling: Pooling, normalize: bool) -> FloatArray:
        """Pooled vectors (N, D) float32, of length 1 where `normalize`."""
        backend = OnnxBackend(self._file.path, precision=self._file.precision)
        try:
            rows = [
                pool(backend.run(Batch((Encoding(ids, truncated=False),))), pooling)
                for ids in sequences
            ]
        finally:
            backend.close()
        return finish(np.concatenate(rows), normalize=normalize)


def _read(path: Path) -> OnnxFile:
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as exc:  # protobuf's DecodeError, and it has no types
        raise ExportError(f"{path} is not an ONNX file: {' '.join(str(exc).split())}.") from exc
    kinds: Counter[str] = Counter()
    places: set[str] = set()
    for weight in model.graph.initializer:
        kinds[_PRECISION.get(weight.data_type, "")] += math.prod(weight.dims)
        places.update(row.value for row in weight.external_data if row.key == "location")
    kinds.pop("", None)
    if not kinds:
        raise ExportError(f"{path} has no weights, so it is no model.")
    if len(places) > 1 or not all(map(_PLAIN_NAME.fullmatch, places)):
        raise ExportError(f"{path} has its weights in the files {sorted(places)}; one can be used.")
    data = path.with_name(places.pop()) if places else None
    if data is not None and not data.is_file():
        raise ExportError(f"{path} refers to {data.name}, which is not there.")
    return OnnxFile(path, data, kinds.most_common(1)[0][0])
