from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from engine.backends.onnx import OnnxBackend
from engine.cpu import has_exact_int8
from engine.errors import ConfigurationError, ExportError
from engine.export.graph import Graph
from engine.export.onnx_int8 import Quants, write_int8_onnx
from engine.export.onnx_writer import write_onnx
from engine.golden import closeness
from engine.types import Encoding, FloatArray, IntArray, Pooling
from tests.engine.embedding import embed_in_batches
from tests.engine.export.conftest import TorchVectors
from tests.engine.export.small_models import CHECKPOINTS, SMALL, to_gguf

runs = pytest.mark.skipif(not has_exact_int8(), reason="not checked: this CPU has no exact int8")


@dataclass(frozen=True)
class Exported:
    fp32: Path
    int8: Path
    sequences: list[IntArray]


@pytest.fixture(scope="module", params=SMALL)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Every architecture, in float32 and in int8."""
    directory = tmp_path_factory.mktemp("int8")
    source = CHECKPOINTS / request.param
    found = Exported(
        directory / "fp32.onnx",
        directory / "int8.onnx",
        TorchVectors.load(source / "golden.json").input_ids,
    )
    write_onnx(to_gguf(source, directory / "model.gguf"), found.fp32)
    write_int8_onnx(found.fp32, found.int8)
    return found


def _embed(path: Path, precision: str, sequences: list[IntArray], size: int = 1) -> FloatArray:
    backend = OnnxBackend(path, precision=precision, threads=1)
    encodings = [Encoding(ids, truncated=False) for ids in sequences]
    vectors = embed_in_batches(backend, encodings, Pooling.MEAN, size)
    backend.close()
    return vectors


def test_no_product_with_a_constant_is_left_in_float32(exported: Exported) -> None:
    model = onnx.load(exported.int8, load_external_data=False)
    constants = {weight.name for weight in model.graph.initializer}
    operators = [node.op_type for node in model.graph.node]
    assert "Attention" not in operators
    assert "MatMulIntegerToFloat" in operators
    for node in model.graph.node:
        assert node.op_type != "MatMul" or not constants & set(node.input)


@runs
def test_vectors_are_close_to_those_in_float32(exported: Exported) -> None:
    """By what the certificate asks of int8, whose weights here are random."""
    fp32 = _embed(exported.fp32, "fp32", exported.sequences)
    found = closeness(fp32, _embed(exported.int8, "int8", exported.sequences))
    assert found.min_cosine >= 0.998


@runs
@pytest.mark.parametrize("size", [2, 5, 64])
def test_a_vector_does_not_depend_on_its_batch(exported: Exported, size: int) -> None:
    alone = _embed(exported.int8, "int8", exported.sequences)
    backwards = _embed(exported.int8, "int8", exported.sequences[::-1], size)[::-1]
    assert np.abs(alone - backwards).max() <= 1e-6


def test_a_matrix_is_its_two_levels() -> None:
    """To a step of the second level, which is the column's largest / 127 / 254."""
    matrix = np.random.default_rng(3).normal(size=(48, 16)).astype(np.float32)
    matrix[:, 3] = 0
    matrix[7, 5] = 90
    found = Quants.of(matrix)
    steps = found.scales / 254
    total = found.high * found.scales + found.low * steps
    assert np.abs(found.high).max() <= 127
    assert (np.abs(total - matrix) <= steps * 0.51).all()


def _norm_and_product(write: Callable[[Graph], object], path: Path) -> Path:
    with path.with_name("data").open("wb") as data:
        graph = Graph(data, "data")
        write(graph)
        graph.save(
            path,
            name="one",
            inputs={"x": (TensorProto.FLOAT, ("T", 32))},
            outputs={"y": (TensorProto.FLOAT, ("T", 32))},
        )
    return path


@runs
def test_the_range_of_a_norm_holds_its_most_extreme_output(tmp_path: Path) -> None:
    """A row with all of its variance in one channel reaches the bound; nothing is cut off."""
    scale = np.linspace(0.1, 4, 32, dtype=np.float32)
    bias = np.linspace(-1, 2, 32, dtype=np.float32)

    def write(graph: Graph) -> None:
        names = [graph.weight("scale", scale), graph.weight("bias", bias)]
        normed = graph.node("LayerNormalization", ["x", *names], "normed", attributes={"axis": -1})
        graph.node("MatMul", [normed, graph.weight("m", np.eye(32, dtype=np.float32))], "y")

    fp32 = _norm_and_product(write, tmp_path / "fp32.onnx")
    write_int8_onnx(fp32, tmp_path / "int8.onnx")
    rows = np.concatenate([np.eye(32), -np.eye(32)]).astype(np.float32) * 100
    expected, found = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
            None, {"x": rows}
        )[0]
        for path in (fp32, tmp_path / "int8.onnx")
    )
    assert np.abs(expected).max() > 22
    assert np.abs(expected - found).max() <= 1e-3


def test_a_graph_without_constant_matrices_is_refused(tmp_path: Path) -> None:
    fp32 = _norm_and_product(
        lambda graph: graph.node("Identity", ["x"], "y"), tmp_path / "fp32.onnx"
    )
    with pytest.raises(ExportError, match="no product"):
        write_int8_onnx(fp32, tmp_path / "int8.onnx")


def test_a_cpu_whose_sums_overflow_is_refused(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.backends.onnx.has_exact_int8", lambda: False)
    with pytest.raises(ConfigurationError, match="precision fp32"):
        OnnxBackend(exported.int8, precision="int8", threads=1)
    OnnxBackend(exported.fp32, precision="fp32", threads=1).close()
