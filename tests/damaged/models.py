"""A tiny model in every form that can be damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import safetensors.numpy

from engine.export.exporter import export
from engine.export.options import ExportOptions
from engine.model import FileRole, ModelBundle
from tests.damaged.manifests import fit_manifest

_SOURCE = Path(__file__).parents[1] / "golden" / "checkpoints" / "bert"
_SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": 24,
}
_GOLDEN_TEXTS = 12


def make_models(root: Path) -> None:
    """Write `checkpoint`, `bundle` (GGUF and ONNX) and `onnx`, an ONNX directory, below `root`."""
    checkpoint = root / "checkpoint"
    shutil.copytree(_SOURCE, checkpoint)
    config = json.loads((checkpoint / "config.json").read_bytes()) | _SIZES
    (checkpoint / "config.json").write_text(json.dumps(config))
    (checkpoint / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    (checkpoint / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: "}, "default_prompt_name": None})
    )
    safetensors.numpy.save_file(_small_weights(checkpoint), checkpoint / "model.safetensors")
    bundle = export(
        checkpoint,
        root / "bundle",
        ExportOptions(gguf=("f32",), onnx=("fp32",)),
        lambda _line: None,
    )
    _make_onnx_directory(checkpoint, bundle, root / "onnx")
    _shorten_golden_texts(root / "bundle")


def _small_weights(checkpoint: Path) -> dict[str, np.ndarray]:
    found = safetensors.numpy.load_file(checkpoint / "model.safetensors")
    small = {}
    old = {64: 32, 128: 64, 256: 24}
    for name, values in found.items():
        if ".layer." in name and ".layer.0." not in name:
            continue
        shape = tuple(
            size if axis == 0 and "word_embeddings" in name else old.get(size, size)
            for axis, size in enumerate(values.shape)
        )
        small[name] = np.ascontiguousarray(values[tuple(slice(size) for size in shape)])
    return small


def _make_onnx_directory(checkpoint: Path, bundle: ModelBundle, directory: Path) -> None:
    shutil.copytree(checkpoint, directory)
    (directory / "model.safetensors").unlink()
    for role in (FileRole.ONNX, FileRole.ONNX_DATA):
        entry = bundle.manifest.file(role)
        if entry is not None:
            shutil.copy(bundle.path(entry), directory / entry.path)


def _shorten_golden_texts(bundle: Path) -> None:
    """A few texts are enough to be checked on, and take less time."""
    golden = json.loads((bundle / "golden.json").read_bytes())
    golden["texts"] = golden["texts"][:_GOLDEN_TEXTS]
    (bundle / "golden.json").write_text(json.dumps(golden))
    fit_manifest(bundle / "manifest.json")
