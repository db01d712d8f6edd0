"""GGUF files as converters other than ours write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from engine.backends.onnx import OnnxBackend
from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.onnx_writer import write_onnx
from engine.export.reference import Reference
from engine.golden import closeness
from engine.pooling import pool
from engine.postprocess import finish
from engine.types import Batch, Encoding, FloatArray, IntArray, Pooling
from tests.engine.export.conftest import TorchVectors
from tests.engine.export.small_models import CHECKPOINTS, Tensors, change_gguf, to_gguf

_QKV = ("attn_q", "attn_k", "attn_v")
_Change = Callable[[Tensors], object]


def _join_qkv(tensors: Tensors) -> None:
    for block in range(_blocks(tensors)):
        for kind in ("weight", "bias"):
            parts = [tensors.pop(f"blk.{block}.{part}.{kind}") for part in _QKV]
            tensors[f"blk.{block}.attn_qkv.{kind}"] = np.concatenate(parts)


def _split_qkv(tensors: Tensors) -> None:
    for block in range(_blocks(tensors)):
        parts = np.split(tensors.pop(f"blk.{block}.attn_qkv.weight"), 3)
        for name, part in zip(_QKV, parts, strict=True):
            tensors[f"blk.{block}.{name}.weight"] = part


def _split_gate(tensors: Tensors) -> None:
    for block in range(_blocks(tensors)):
        gate, up = np.split(tensors[f"blk.{block}.ffn_up.weight"], 2)
        tensors[f"blk.{block}.ffn_gate.weight"] = gate
        tensors[f"blk.{block}.ffn_up.weight"] = up


def _fold_token_types(tensors: Tensors) -> None:
    tensors["token_embd.weight"] += tensors.pop("token_types.weight")[0]


def _add_biases(*parts: str) -> _Change:
    def add(tensors: Tensors) -> None:
        random = np.random.default_rng(7)
        for block in range(_blocks(tensors)):
            for part in parts:
                rows = len(tensors[f"blk.{block}.{part}.weight"])
                bias = random.normal(scale=0.3, size=rows).astype(np.float32)
                tensors[f"blk.{block}.{part}.bias"] = bias

    return add


def _drop_biases(*parts: str) -> _Change:
    def drop(tensors: Tensors) -> None:
        for block in range(_blocks(tensors)):
            for part in parts:
                del tensors[f"blk.{block}.{part}.bias"]

    return drop


def _blocks(tensors: Tensors) -> int:
    return sum(name.endswith(".layer_output_norm.weight") for name in tensors)


def _onnx_vectors(
    source: GgufFile, path: Path, sequences: list[IntArray], pooling: Pooling
) -> FloatArray:
    write_onnx(source, path)
    backend = OnnxBackend(path, precision="fp32", threads=1)
    batch = Batch(tuple(Encoding(ids, truncated=False) for ids in sequences))
    pooled = pool(backend.run(batch), pooling)
    backend.close()
    return finish(pooled, normalize=True)


@pytest.mark.parametrize(
    ("name", "change", "pooling"),
    [
        ("bert", _join_qkv, Pooling.CLS),
        ("bert", _fold_token_types, Pooling.CLS),
        ("nomic-bert", _split_qkv, Pooling.MEAN),
        ("nomic-bert", _fold_token_types, Pooling.MEAN),
        ("jina-bert-v2", _split_gate, Pooling.MEAN),
        ("jina-bert-v2", _join_qkv, Pooling.MEAN),
        ("jina-bert-v2", _fold_token_types, Pooling.MEAN),
    ],
)
def test_the_same_weights_in_another_layout_have_torchs_vectors(
    name: str, change: _Change, pooling: Pooling, tmp_path: Path
) -> None:
    source = to_gguf(CHECKPOINTS / name, tmp_path / "ours.gguf")
    other = change_gguf(source, tmp_path / "other.gguf", tensors=change)
    torch = TorchVectors.load(CHECKPOINTS / name / "golden.json")
    vectors = _onnx_vectors(other, tmp_path / "model.onnx", torch.input_ids, pooling)
    assert closeness(torch.vectors, vectors).max_abs_diff <= 1e-5
    reference = Reference(other).embed(torch.input_ids, pooling=pooling, normalize=True)
    assert closeness(torch.vectors, reference).max_abs_diff <= 1e-5


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bert", _drop_biases("attn_q", "attn_k", "attn_v", "ffn_up", "ffn_down")),
        ("bert", _drop_biases("attn_k", "attn_output")),
        ("nomic-bert", _add_biases("attn_qkv", "attn_output")),
        ("jina-bert-v2", _add_biases("ffn_up")),
        ("jina-bert-v2", _drop_biases("attn_q", "attn_k", "attn_v", "attn_output", "ffn_down")),
    ],
)
def test_biases_may_be_there_or_not(name: str, change: _Change, tmp_path: Path) -> None:
    """The graph and the reference agree, and the change is seen."""
    source = to_gguf(CHECKPOINTS / name, tmp_path / "ours.gguf")
    other = change_gguf(source, tmp_path / "other.gguf", tensors=change)
    torch = TorchVectors.load(CHECKPOINTS / name / "golden.json")
    vectors = _onnx_vectors(other, tmp_path / "model.onnx", torch.input_ids, Pooling.MEAN)
    reference = Reference(other).embed(torch.input_ids, pooling=Pooling.MEAN, normalize=True)
    before = Reference(source).embed(torch.input_ids, pooling=Pooling.MEAN, normalize=True)
    assert closeness(reference, vectors).max_abs_diff <= 1e-5
    assert closeness(before, vectors).max_abs_diff > 1e-3


def _rename(old: str, new: str) -> _Change:
    return lambda tensors: tensors.update({new: tensors.pop(old)})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", _rename("blk.0.ffn_up.bias", "blk.0.ffn_gate.bias"), "ffn_gate"),
        ("bert", _rename("blk.2.ffn_up.bias", "blk.3.ffn_up.bias"), "3 blocks"),
        ("bert", lambda tensors: tensors.pop("blk.1.attn_k.weight"), r"blk\.1\.attn_k\.weight"),
        ("bert", lambda tensors: tensors.update({"cls.weight": np.ones((2, 64), "f4")}), "cls"),
        ("nomic-bert", _add_biases("ffn_up"), r"ffn_up\.bias"),
        ("jina-bert-v2", _rename("blk.0.attn_q.bias", "blk.0.attn_q_norm.bias"), "attn_q_norm"),
        (
            "jina-bert-v2",
            lambda tensors: tensors.update({"blk.0.ffn_up.weight": np.ones((128, 96), "f4")}),
            "no gate",
        ),
    ],
)
def test_tensors_that_are_missing_or_would_be_ignored_are_refused(
    name: str, change: _Change, message: str, tmp_path: Path
) -> None:
    source = to_gguf(CHECKPOINTS / name, tmp_path / "ours.gguf")
    other = change_gguf(source, tmp_path / "other.gguf", tensors=change)
    with pytest.raises(ExportError, match=message):
        write_onnx(other, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bert", {"context_length": 512}),
        ("bert", {"embedding_length": 128}),
        ("bert", {"attention.head_count": 7}),
        ("bert", {"attention.causal": True}),
        ("bert", {"attention.head_count_kv": 2}),
        ("nomic-bert", {"rope.dimension_count": 8}),
        ("nomic-bert", {"rope.scaling.type": "yarn"}),
        ("nomic-bert", {"rope.scaling.factor": 2.0}),
    ],
)
def test_contradicting_numbers_are_refused(
    name: str, values: Mapping[str, object], tmp_path: Path
) -> None:
    source = to_gguf(CHECKPOINTS / name, tmp_path / "ours.gguf")
    other = change_gguf(source, tmp_path / "other.gguf", values=values)
    with pytest.raises(ExportError, match=str(next(iter(values.values())))):
        write_onnx(other, tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["nomic-bert", "jina-bert-v2"])
def test_long_texts_have_the_references_vectors(name: str, tmp_path: Path) -> None:
    """Longer than any golden text, beside a short one."""
    source = to_gguf(CHECKPOINTS / name, tmp_path / "model.gguf")
    random = np.random.default_rng(1)
    sequences = [random.integers(5, 1400, size, dtype=np.int32) for size in (3, 2048)]
    vectors = _onnx_vectors(source, tmp_path / "model.onnx", sequences, Pooling.MEAN)
    expected = Reference(source).embed(sequences, pooling=Pooling.MEAN, normalize=True)
    assert np.abs(expected - vectors).max() <= 1e-5
