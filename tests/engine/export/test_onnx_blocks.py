from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.backends.onnx import OnnxBackend
from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.gguf_precision import write_at_precision
from engine.export.onnx_blocks import BlockIndex, write_block_onnx
from engine.export.onnx_writer import write_onnx
from engine.golden import closeness
from engine.types import Encoding, FloatArray, IntArray, Pooling
from tests.engine.embedding import embed_in_batches
from tests.engine.export.conftest import TorchVectors


@dataclass(frozen=True)
class Exported:
    source: GgufFile
    fp32: Path
    blocks: Path


@pytest.fixture(scope="module")
def exported(small_bert_gguf: GgufFile, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    directory = tmp_path_factory.mktemp("blocks")
    write_at_precision(small_bert_gguf, directory / "q8_0.gguf", "q8_0")
    source = GgufFile(directory / "q8_0.gguf")
    found = Exported(source, directory / "fp32.onnx", directory / "q8_0.onnx")
    write_onnx(source, found.fp32)
    write_block_onnx(source, found.fp32, found.blocks)
    return found


def _embed(path: Path, sequences: list[IntArray], size: int) -> FloatArray:
    backend = OnnxBackend(path, precision="q8_0", threads=1)
    encodings = [Encoding(ids, truncated=False) for ids in sequences]
    vectors = embed_in_batches(backend, encodings, Pooling.MEAN, size)
    backend.close()
    return vectors


def _weights(path: Path) -> dict[str, onnx.TensorProto]:
    model = onnx.load(path)
    return {weight.name: weight for weight in model.graph.initializer}


def test_no_product_and_no_table_is_left_in_float32(exported: Exported) -> None:
    operators = [node.op_type for node in onnx.load(exported.blocks).graph.node]
    assert operators.count("MatMulNBits") == 3 * 6
    assert operators.count("GatherBlockQuantized") == 1
    assert operators.count("Gather") == 1  # of positions, which the GGUF has in float32, too
    assert not {"MatMul", "Attention", "EmbedLayerNormalization"} & set(operators)


def test_every_matrix_is_the_ggufs_bit_for_bit(exported: Exported) -> None:
    weights = _weights(exported.blocks)
    rows = {row.tobytes() for name in exported.source.names for row in _rows(exported.source, name)}
    quantised = [name for name in weights if name.endswith(".quants")]
    assert len(quantised) == 3 * 6 + 1
    for name in quantised:
        quants = numpy_helper.to_array(weights[name])
        scales = numpy_helper.to_array(weights[name.replace(".quants", ".scales")])
        centred = quants.reshape(-1, 32).astype(np.float32) - np.float32(128)
        values = (centred * scales.reshape(-1, 1)).reshape(len(quants), -1)
        assert {row.tobytes() for row in values} <= rows


def _rows(source: GgufFile, name: str) -> FloatArray:
    values = source.tensor(name)
    return values if values.ndim == 2 else values[None]


def test_vectors_are_close_to_those_of_the_dequantised_weights(
    exported: Exported, small_bert_torch: TorchVectors
) -> None:
    """What differs is the rounding of activations to 8 bits, as llama.cpp does it, too."""
    sequences = small_bert_torch.input_ids
    found = closeness(_embed(exported.fp32, sequences, 1), _embed(exported.blocks, sequences, 1))
    assert found.min_cosine >= 0.999


def test_a_vector_does_not_depend_on_its_batch(
    exported: Exported, small_bert_torch: TorchVectors
) -> None:
    sequences = small_bert_torch.input_ids
    alone = _embed(exported.blocks, sequences, 1)
    for size in (2, 5, len(sequences)):
        backwards = _embed(exported.blocks, sequences[::-1], size)[::-1]
        assert np.abs(alone - backwards).max() <= 1e-5


def test_rows_that_are_not_the_files_are_not_found(exported: Exported) -> None:
    index = BlockIndex(exported.source)
    rows = exported.source.tensor("blk.0.ffn_up.weight")
    assert index.find(rows[::-1]) is not None
    assert index.find(rows * np.float32(2)) is None


def test_a_source_without_blocks_is_refused(small_bert_gguf: GgufFile, tmp_path: Path) -> None:
    write_onnx(small_bert_gguf, tmp_path / "fp32.onnx")
    with pytest.raises(ExportError, match="Q8_0"):
        write_block_onnx(small_bert_gguf, tmp_path / "fp32.onnx", tmp_path / "x.onnx")
