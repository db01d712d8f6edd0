from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from engine.backends.onnx import OnnxBackend
from engine.backends.rows import ROW_TOKENS
from engine.cpu import available_cpus
from engine.errors import BackendError, ConfigurationError, IntegrityError
from engine.types import Batch, FloatArray
from tests.engine.bundles import DIMENSIONS, TABLE, write_graph
from tests.engine.making import encoding, encodings_of

MIXED = Batch((encoding(5, 6), encoding(7, 8, 9, 10), encoding(11)))


def load(path: Path, threads: int | None = 1) -> OnnxBackend:
    return OnnxBackend(path, precision="fp32", threads=threads)


def run(backend: OnnxBackend, batch: Batch) -> list[FloatArray]:
    vectors = backend.run(batch).token_vectors
    assert vectors is not None
    return list(vectors)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write_graph(path)
    return path


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize(
    ("others", "added"),
    [
        ([], 0),
        (["attention_mask"], 1),
        (["token_type_ids"], 0),
        (["attention_mask", "token_type_ids"], 1),
    ],
)
def test_a_graph_is_fed_what_it_declares(
    tmp_path: Path, dtype: str, others: list[str], added: int
) -> None:
    """Ids, a mask of ones and types of zeros go in as the declared type, if declared."""
    path = tmp_path / "model.onnx"
    write_graph(path, inputs=dict.fromkeys(["input_ids", *others], dtype))
    for sequence, vectors in zip(MIXED.encodings, run(load(path), MIXED), strict=True):
        np.testing.assert_array_equal(TABLE[sequence.input_ids] + np.float32(added), vectors)


def test_inputs_may_differ_in_type(tmp_path: Path) -> None:
    """Each input has its own declared type."""
    path = tmp_path / "model.onnx"
    write_graph(path, inputs={"input_ids": "int64", "attention_mask": "int32"})
    assert 3 == len(run(load(path), MIXED))


def test_sequences_of_a_graph_that_tells_them_apart_share_a_row(tmp_path: Path) -> None:
    """Its mask has the place from which each stands, counted from 1."""
    path = tmp_path / "model.onnx"
    write_graph(
        path,
        inputs=dict.fromkeys(["input_ids", "attention_mask"], "int32"),
        metadata={ROW_TOKENS: "16"},
    )
    backend = load(path)
    assert backend.max_padding is None
    found = run(backend, MIXED)
    for sequence, start, vectors in zip(MIXED.encodings, [4, 0, 6], found, strict=True):
        np.testing.assert_array_equal(TABLE[sequence.input_ids] + np.float32(1 + start), vectors)


def test_padding_never_leaves_the_backend(graph: Path) -> None:
    """A short sequence in a batch has as many token vectors as tokens."""
    assert [2, 4, 1] == [len(vectors) for vectors in run(load(graph), MIXED)]


def test_half_precision_comes_back_as_float32(tmp_path: Path) -> None:
    """A graph that computes in float16 fits into the engine."""
    path = tmp_path / "model.onnx"
    write_graph(path, precision=np.float16)
    (vectors,) = run(load(path), Batch((encoding(5, 6),)))
    assert np.dtype(np.float32) == vectors.dtype
    np.testing.assert_array_equal(TABLE[[5, 6]].astype(np.float16), vectors)


@pytest.mark.parametrize(
    "inputs",
    [
        {"input_ids": "int64", "position_ids": "int64"},
        {"input_ids": "int64", "attention_mask": "float"},
        {"ids": "int64"},
    ],
    ids=["unknown", "a mask of floats", "no input_ids"],
)
def test_a_graph_with_inputs_that_can_not_be_fed_is_refused(
    tmp_path: Path, inputs: dict[str, str]
) -> None:
    """No input is guessed."""
    path = tmp_path / "model.onnx"
    write_graph(path, inputs=inputs)
    with pytest.raises(IntegrityError, match="inputs"):
        load(path)


def test_a_graph_that_pools_by_itself_is_refused(tmp_path: Path) -> None:
    """Its vectors would be cut as if they were tokens."""
    path = tmp_path / "model.onnx"
    write_graph(path, pooled=True)
    with pytest.raises(IntegrityError, match="output"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 64])
def test_a_corrupt_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that the runtime can't read is a fault of the bundle."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="load"):
        load(path)


def test_a_cut_file_is_refused(graph: Path) -> None:
    """Half a model is no model."""
    graph.write_bytes(graph.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match="load"):
        load(graph)


@pytest.mark.parametrize("stated", ["x", "-1", "", "9" * 30, "1.5"])
def test_rows_that_can_not_be_are_refused(graph: Path, stated: str) -> None:
    """What a graph says of its rows decides how much memory they take."""
    model = onnx.load(graph)
    onnx.helper.set_model_props(model, {ROW_TOKENS: stated})
    onnx.save(model, graph)
    with pytest.raises(IntegrityError, match="states rows of"):
        load(graph)


def test_an_output_of_another_shape_than_declared_is_a_failed_run(graph: Path) -> None:
    """Vectors are never taken from where other tokens would be."""
    model = onnx.load(graph)
    (output,) = (node for node in model.graph.node if node.output[0] == model.graph.output[0].name)
    output.output[0] = "turned"
    turn = onnx.helper.make_node(
        "Transpose", ["turned"], [model.graph.output[0].name], perm=[1, 0, 2]
    )
    model.graph.node.append(turn)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    for name in ("A", "B", "D"):
        model.graph.output[0].type.tensor_type.shape.dim.add().dim_param = name
    onnx.save(model, graph)
    with pytest.raises(BackendError, match=r"gave the shape \(4, 3, \d+\) for 3 rows of 4 tokens"):
        load(graph).run(MIXED)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The runtime's own error does not get out."""
    with pytest.raises(IntegrityError, match="load"):
        load(tmp_path / "model.onnx")


def test_ids_outside_of_the_table_are_a_failure_that_it_survives(graph: Path) -> None:
    """A failed run is a BackendError, and the next run works."""
    backend = load(graph)
    with pytest.raises(BackendError, match="ONNX Runtime failed"):
        backend.run(Batch((encoding(5, len(TABLE)),)))
    assert [2, 4, 1] == [len(vectors) for vectors in run(backend, MIXED)]


def test_running_after_closing_is_an_error(graph: Path) -> None:
    """Closing twice is harmless; running afterwards is not silent."""
    backend = load(graph)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(MIXED)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="not checked where there is a GPU: that a missing one is an error",
)
def test_a_missing_gpu_is_an_error(graph: Path) -> None:
    """Nobody who asks for a GPU gets a CPU instead."""
    with pytest.raises(ConfigurationError, match="CUDA"):
        OnnxBackend(graph, precision="fp32", gpu=True)


def test_it_says_what_it_is(graph: Path) -> None:
    """Name, device and precision are those of the loaded file."""
    backend = OnnxBackend(graph, precision="q8_0", threads=3)
    assert ("onnx", "cpu", "q8_0", 3) == (
        backend.name,
        backend.device,
        backend.precision,
        backend.concurrency,
    )


def test_by_default_it_uses_all_cpus_of_this_process(graph: Path) -> None:
    """One single-threaded run for each CPU."""
    assert available_cpus() == load(graph, threads=None).concurrency


def test_threads_may_run_it_at_the_same_time(graph: Path) -> None:
    """Runs on several threads do not mix their sequences."""
    backend = load(graph, threads=4)
    batches = [Batch(tuple(encodings_of([1 + n % 5, 3], first_id=n % 14))) for n in range(100)]
    with ThreadPoolExecutor(4) as threads:
        outputs = list(threads.map(lambda batch: run(backend, batch), batches))
    for batch, vectors in zip(batches, outputs, strict=True):
        for sequence, one in zip(batch.encodings, vectors, strict=True):
            np.testing.assert_array_equal(TABLE[sequence.input_ids], one)


def test_the_width_is_the_models(graph: Path) -> None:
    """The table's vectors come back whole."""
    assert {DIMENSIONS} == {vectors.shape[1] for vectors in run(load(graph), MIXED)}


def test_alone_or_not_it_computes_the_same(graph: Path) -> None:
    """The session with all threads and the one with a single thread agree."""
    backend = load(graph, threads=2)
    encodings = tuple(encodings_of([40, 7, 3]))
    together = run(backend, Batch(encodings))
    for expected, actual in zip(together, run(backend, Batch(encodings, alone=True)), strict=True):
        np.testing.assert_allclose(expected, actual, atol=1e-6)
    backend.close()
    with pytest.raises(BackendError):
        backend.run(Batch(encodings, alone=True))
