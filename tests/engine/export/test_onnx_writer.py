from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from engine.backends.onnx import OnnxBackend
from engine.export.gguf_file import GgufFile
from engine.export.onnx_writer import write_onnx
from engine.export.reference import Reference
from engine.golden import closeness
from engine.model import FileRole, ModelBundle
from engine.types import Batch, Encoding, FloatArray, IntArray, Pooling
from tests.engine.embedding import embed_in_batches
from tests.engine.export.conftest import GOLDEN, TorchVectors


@pytest.fixture(scope="module")
def onnx_path(small_bert_gguf: GgufFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_onnx(small_bert_gguf, path)
    return path


@pytest.fixture(scope="module")
def backend(onnx_path: Path) -> Iterator[OnnxBackend]:
    opened = OnnxBackend(onnx_path, precision="fp32", threads=1)
    yield opened
    opened.close()


def _embed(
    backend: OnnxBackend, sequences: list[IntArray], pooling: Pooling, size: int
) -> FloatArray:
    encodings = [Encoding(ids, truncated=False) for ids in sequences]
    return embed_in_batches(backend, encodings, pooling, size)


@pytest.mark.parametrize("size", [1, 3, 19])
def test_batches_of_mixed_lengths_agree_with_torch(
    backend: OnnxBackend, small_bert_torch: TorchVectors, size: int
) -> None:
    vectors = _embed(backend, small_bert_torch.input_ids, Pooling.CLS, size)
    found = closeness(small_bert_torch.vectors, vectors)
    assert found.min_cosine >= 0.99999
    assert found.max_abs_diff <= 1e-5


def test_every_token_vector_agrees_with_the_reference(
    backend: OnnxBackend, small_bert_gguf: GgufFile, small_bert_torch: TorchVectors
) -> None:
    sequences = small_bert_torch.input_ids
    expected = Reference(small_bert_gguf).token_vectors(sequences)
    output = backend.run(Batch(tuple(Encoding(ids, truncated=False) for ids in sequences)))
    assert output.token_vectors is not None
    for wanted, got in zip(expected, output.token_vectors, strict=True):
        assert np.abs(wanted - got).max() <= 2e-5


def test_order_and_neighbours_do_not_change_a_vector(
    backend: OnnxBackend, small_bert_torch: TorchVectors
) -> None:
    sequences = small_bert_torch.input_ids
    alone = _embed(backend, sequences, Pooling.MEAN, size=1)
    backwards = _embed(backend, sequences[::-1], Pooling.MEAN, size=5)[::-1]
    assert np.abs(alone - backwards).max() <= 1e-5


def test_the_graph_states_its_inputs_and_output(onnx_path: Path) -> None:
    graph = onnx.load(onnx_path, load_external_data=False).graph
    int32 = onnx.TensorProto.INT32
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [
        ("input_ids", int32),
        ("attention_mask", int32),
    ]
    assert [value.name for value in graph.output] == ["token_vectors"]


def test_large_weights_can_be_mapped_and_small_ones_are_inline(onnx_path: Path) -> None:
    graph = onnx.load(onnx_path, load_external_data=False).graph
    outside = [weight for weight in graph.initializer if weight.external_data]
    inside = [weight for weight in graph.initializer if not weight.external_data]
    assert outside
    for weight in outside:
        where = {entry.key: entry.value for entry in weight.external_data}
        assert int(where["offset"]) % 4096 == 0
        assert int(where["length"]) >= 1024
    assert all(len(weight.raw_data) < 1024 for weight in inside)


@pytest.mark.model
@pytest.mark.parametrize("size", [1, 8, 64])
def test_the_default_model_agrees_with_torch(default_bundle: ModelBundle, size: int) -> None:
    torch = TorchVectors.load(GOLDEN / "all-MiniLM-L6-v2.json")
    entry = default_bundle.manifest.file(FileRole.ONNX)
    assert entry is not None
    backend = OnnxBackend(default_bundle.path(entry), precision="fp32")
    found = closeness(torch.vectors, _embed(backend, torch.input_ids, Pooling.MEAN, size))
    backend.close()
    assert found.min_cosine >= 0.99999
    assert found.max_abs_diff <= 1e-4
    assert found.top10_agreement == 1.0


def test_the_runtime_puts_no_slow_norm_in_the_place_of_ours(
    small_bert_gguf: GgufFile, tmp_path: Path
) -> None:
    """ONNX Runtime fuses an addition and a norm into an operator that takes longer than both."""
    write_onnx(small_bert_gguf, tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), options)
    graph = onnx.load(tmp_path / "optimised.onnx", load_external_data=False).graph
    operators = {node.op_type for node in graph.node}
    assert "LayerNormalization" in operators
    assert "SkipLayerNormalization" not in operators
