"""The small checkpoints of tests/golden, and changed copies of them, for several tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import gguf
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_writer import write_gguf
from engine.types import FloatArray, Pooling
from tests.torch_golden import GOLDEN

CHECKPOINTS = GOLDEN / "checkpoints"
SMALL = sorted(path.name for path in CHECKPOINTS.iterdir())
Arrays: TypeAlias = dict[str, NDArray[np.generic]]
Tensors: TypeAlias = dict[str, FloatArray]


def copy_checkpoint(
    name: str,
    directory: Path,
    *,
    config: Mapping[str, object] | None = None,
    tokenizer: Callable[[Any], object] | None = None,
    tokenizer_class: str | None = None,
    weights: Callable[[Arrays], object] | None = None,
) -> Path:
    """Copy a small checkpoint; a key of `config` that is None is taken out."""
    shutil.copytree(CHECKPOINTS / name, directory)
    _edit(directory / "config.json", lambda document: _change(document, config or {}))
    if tokenizer is not None:
        _edit(directory / "tokenizer.json", tokenizer)
    if tokenizer_class is not None:
        kind = {"tokenizer_class": tokenizer_class}
        _edit(directory / "tokenizer_config.json", lambda document: document.update(kind))
    if weights is not None:
        path = directory / "model.safetensors"
        arrays = safetensors.numpy.load_file(path)
        weights(arrays)
        safetensors.numpy.save_file(arrays, path)
    return directory


def to_gguf(checkpoint: Path, path: Path) -> GgufFile:
    opened = Checkpoint.open(checkpoint)
    write_gguf(opened, path, name="small", pooling=opened.pooling or Pooling.MEAN)
    return GgufFile(path)


def change_gguf(
    source: GgufFile,
    path: Path,
    *,
    tensors: Callable[[Tensors], object] | None = None,
    values: Mapping[str, object] | None = None,
) -> GgufFile:
    """Copy a GGUF file of float32 tensors with other tensors, or other metadata of the model."""
    reader = gguf.GGUFReader(source.path)
    writer = gguf.GGUFWriter(path, source.architecture)
    changed = {f"{source.architecture}.{key}": value for key, value in (values or {}).items()}
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture" and key not in changed:
            sub_type = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    for key, value in changed.items():
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    arrays = {name: source.tensor(name).copy() for name in source.names}
    if tensors is not None:
        tensors(arrays)
    for name, array in arrays.items():
        writer.add_tensor(name, np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GgufFile(path)


def _edit(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))


def _change(document: dict[str, object], changes: Mapping[str, object]) -> None:
    for key, value in changes.items():
        document[key] = value
        if value is None:
            del document[key]
