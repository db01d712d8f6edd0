from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine.cpu import has_bf16
from engine.errors import BackendError, IntegrityError
from engine.export.checkpoint import Checkpoint
from engine.export.gguf_file import GgufFile
from engine.export.gguf_writer import write_gguf
from engine.export.onnx_writer import write_onnx
from engine.golden import closeness
from engine.pooling import pool
from engine.postprocess import finish
from engine.types import Batch, Encoding, FloatArray, Pooling
from tests.engine.bundles import write_graph
from tests.engine.embedding import embed_in_batches
from tests.engine.export.conftest import SMALL_BERT
from tests.engine.making import encoding

pytest.importorskip("openvino", reason="not checked: OpenVINO is not installed")
if not has_bf16():
    pytest.skip("not checked: this CPU has no bf16", allow_module_level=True)

from engine.backends.openvino import OpenVinoBackend

LENGTHS = (1, 2, 3, 15, 16, 17, 31, 32, 33, 40)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("openvino")
    source = Checkpoint.open(SMALL_BERT)
    write_gguf(source, directory / "model.gguf", name="small", pooling=Pooling.CLS)
    write_onnx(GgufFile(directory / "model.gguf"), directory / "model.onnx")
    return directory / "model.onnx"


@pytest.fixture(scope="module")
def backend(graph: Path) -> Iterator[OpenVinoBackend]:
    opened = OpenVinoBackend(graph, max_input_tokens=40, threads=2)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def encodings() -> list[Encoding]:
    """Three sequences of each length, in an order that mixes lengths."""
    random = np.random.default_rng(5)
    return [encoding(*random.integers(5, 500, length)) for _ in range(3) for length in LENGTHS]


def vectors(backend: OpenVinoBackend, encodings: list[Encoding], size: int) -> FloatArray:
    return embed_in_batches(backend, encodings, Pooling.CLS, size)


@pytest.mark.parametrize("size", [2, 7, 30])
def test_a_vector_does_not_depend_on_its_batch(
    backend: OpenVinoBackend, encodings: list[Encoding], size: int
) -> None:
    """Alone or with any neighbours, it is the same to the bit."""
    alone = vectors(backend, encodings, 1)
    np.testing.assert_array_equal(alone, vectors(backend, encodings, size))
    backwards = vectors(backend, encodings[::-1], size)[::-1]
    np.testing.assert_array_equal(alone, backwards)


def test_vectors_are_those_of_fp32_to_bf16s_precision(
    backend: OpenVinoBackend, graph: Path, encodings: list[Encoding]
) -> None:
    from engine.backends.onnx import OnnxBackend

    exact = OnnxBackend(graph, precision="fp32", threads=1)
    pooled = [pool(exact.run(Batch((one,))), Pooling.CLS) for one in encodings]
    expected = finish(np.concatenate(pooled), normalize=True)
    exact.close()
    found = closeness(expected, vectors(backend, encodings, 8))
    assert found.min_cosine >= 0.999
    assert found.max_abs_diff > 1e-5, "it computed in float32"


def test_padding_never_leaves_the_backend(backend: OpenVinoBackend) -> None:
    """Not even where the bucket of a length is longer than the model's longest input."""
    batch = Batch(tuple(encoding(*range(5, 5 + length)) for length in (40, 1, 33)))
    found = backend.run(batch).token_vectors
    assert found is not None
    assert [40, 1, 33] == [len(row) for row in found]


def test_running_after_closing_is_an_error(graph: Path) -> None:
    backend = OpenVinoBackend(graph, max_input_tokens=40, threads=1)
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(Batch((encoding(5, 6),)))


def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(IntegrityError, match="can't load"):
        OpenVinoBackend(tmp_path / "model.onnx", max_input_tokens=40)


def test_a_graph_with_other_inputs_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path / "model.onnx", inputs={"input_ids": "int64"})
    with pytest.raises(IntegrityError, match="inputs"):
        OpenVinoBackend(tmp_path / "model.onnx", max_input_tokens=40)
