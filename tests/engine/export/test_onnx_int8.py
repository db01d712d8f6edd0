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
from engine.export.moments import second_moments
from engine.export.onnx_int8 import outlying_channels, write_int8_onnx
from engine.export.onnx_writer import write_onnx
from engine.export.token_samples import TokenSample
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
    samples = [TokenSample(ids[np.newaxis]) for ids in found.sequences]
    write_int8_onnx(found.fp32, found.int8, second_moments(found.fp32, samples))
    return found


def _embed(path: Path, precision: str, sequences: list[IntArray], size: int = 1) -> FloatArray:
    backend = OnnxBackend(path, precision=precision, threads=1)
    encodings = [Encoding(ids, truncated=False) for ids in sequences]
    vectors = embed_in_batches(backend, encodings, Pooling.MEAN, size)
    backend.close()
    return vectors


def test_only_products_of_few_large_channels_are_left_in_float32(exported: Exported) -> None:
    model = onnx.load(exported.int8, load_external_data=False)
    constants = {weight.name: weight.dims for weight in model.graph.initializer}
    operators = [node.op_type for node in model.graph.node]
    assert "Attention" not in operators
    assert "MatMulIntegerToFloat" in operators
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in constants:
            whole = constants[node.input[1].removesuffix(".exact") + ".quants"]
            assert constants[node.input[1]][0] <= whole[0] // 8


@pytest.mark.cpu
@pytest.mark.heavy
@runs
def test_vectors_are_close_to_those_in_float32(exported: Exported) -> None:
    """By what the certificate asks of int8, whose weights here are random."""
    fp32 = _embed(exported.fp32, "fp32", exported.sequences)
    found = closeness(fp32, _embed(exported.int8, "int8", exported.sequences))
    assert found.min_cosine >= 0.998


@pytest.mark.cpu
@pytest.mark.heavy
@runs
@pytest.mark.parametrize("size", [2, 5, 64])
def test_a_vector_does_not_depend_on_its_batch(exported: Exported, size: int) -> None:
    alone = _embed(exported.int8, "int8", exported.sequences)
    backwards = _embed(exported.int8, "int8", exported.sequences[::-1], size)[::-1]
    assert np.abs(alone - backwards).max() <= 1e-6


def _graph(write: Callable[[Graph], object], path: Path) -> Path:
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


def _product(path: Path, matrix: FloatArray) -> Path:
    def write(graph: Graph) -> None:
        graph.node("MatMul", ["x", graph.weight("m", matrix)], "y")

    return _graph(write, path)


def _run(path: Path, rows: FloatArray) -> FloatArray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: FloatArray = session.run(None, {"x": rows})[0]
    return found


def _rows(large: int | None) -> FloatArray:
    rows = np.random.default_rng(5).normal(size=(200, 32)).astype(np.float32)
    if large is not None:
        rows[:, large] *= 1000
    return rows


@pytest.mark.cpu
@pytest.mark.heavy
@runs
@pytest.mark.parametrize("large", [None, 0, 31])
def test_a_large_channel_costs_the_others_nothing(tmp_path: Path, large: int | None) -> None:
    """It stays float32; in the range that it needs, the others would all be zero."""
    rows = _rows(large)
    fp32 = _product(tmp_path / "fp32.onnx", np.eye(32, dtype=np.float32))
    write_int8_onnx(fp32, tmp_path / "int8.onnx", {"x": rows.T @ rows})
    found = _run(tmp_path / "int8.onnx", rows)
    exact = [] if large is None else [large]
    np.testing.assert_array_equal(rows[:, exact], found[:, exact])
    small = np.delete(np.abs(rows), exact, axis=1).max(axis=1, keepdims=True)
    assert (np.abs(rows - found) <= small / 127 * 0.51).all()


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = _rows(3)
    fp32 = _product(tmp_path / "fp32.onnx", rows[:32])
    moments = {"x": rows.T @ rows}
    path = tmp_path / "int8.onnx"
    first = write_int8_onnx(fp32, path, moments).read_bytes(), path.read_bytes()
    assert first == (write_int8_onnx(fp32, path, moments).read_bytes(), path.read_bytes())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([1.0] * 32, []),
        ([0.0] * 32, []),
        ([0.0] * 31 + [5.0], []),
        ([0.0] * 24 + [1.0] * 7 + [3.1], [31]),
        ([4.0, 1.0, 1.0, 9.0] + [1.0] * 28, [0, 3]),
        ([1.0] * 26 + [4.0, 5.0, 6.0, 7.0, 8.0, 9.0], [28, 29, 30, 31]),
    ],
)
def test_outlying_channels_are_over_three_times_the_median(
    sizes: list[float], expected: list[int]
) -> None:
    """Of those that are ever more than zero; at most one channel in eight, the largest ones."""
    assert expected == outlying_channels(np.square(sizes)).tolist()


def test_a_graph_without_constant_matrices_is_refused(tmp_path: Path) -> None:
    fp32 = _graph(lambda graph: graph.node("Identity", ["x"], "y"), tmp_path / "fp32.onnx")
    with pytest.raises(ExportError, match="no product"):
        write_int8_onnx(fp32, tmp_path / "int8.onnx", {})


@pytest.mark.cpu
@pytest.mark.heavy
def test_a_cpu_whose_sums_overflow_is_refused(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.backends.onnx.has_exact_int8", lambda: False)
    with pytest.raises(ConfigurationError, match="precision fp32"):
        OnnxBackend(exported.int8, precision="int8", threads=1)
    OnnxBackend(exported.fp32, precision="fp32", threads=1).close()
