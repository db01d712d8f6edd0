"""Each architecture against torch: checkpoint -> bundle -> ONNX Runtime, llama.cpp and numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.base import Backend
from engine.backends.onnx import OnnxBackend
from engine.export.bundle import write_bundle
from engine.export.gguf_file import GgufFile
from engine.export.options import ExportOptions
from engine.export.reference import Reference
from engine.golden import closeness, decode_vector
from engine.model import FileRole, ModelBundle
from engine.pooling import pool
from engine.postprocess import cut, finish
from engine.tokenizer import Tokenizer
from engine.types import Batch, Encoding, FloatArray, Pooling, Truncate
from tests.torch_golden import GOLDEN

CHECKPOINTS = GOLDEN / "checkpoints"
MIN_COSINE = 0.9999
MIN_COSINE_FLOAT32 = 0.999999
"""Of what computes the exact GELU; llama.cpp computes its approximation by tanh."""
MAX_ABS_DIFF_IN_BATCHES = 1e-5


@dataclass(frozen=True)
class Model:
    """A bundle made of a small checkpoint, and what torch computed with that checkpoint."""

    bundle: ModelBundle
    max_input_tokens: int
    rows: list[dict[str, Any]]

    @property
    def encodings(self) -> list[Encoding]:
        ids = (np.array(row["input_ids"], dtype=np.int32) for row in self.rows)
        return [Encoding(row, truncated=False) for row in ids]

    @property
    def torch(self) -> FloatArray:
        return np.stack([decode_vector(row["embedding"]) for row in self.rows])

    @property
    def pooling(self) -> Pooling:
        return self.bundle.manifest.pooling

    def path(self, role: FileRole) -> Path:
        entry = self.bundle.manifest.file(role)
        assert entry is not None
        return self.bundle.path(entry)

    def pooled(self, backend: Backend, *, batch: int) -> FloatArray:
        return self.pooled_of(backend, self.encodings, batch=batch)

    def pooled_of(
        self, backend: Backend, encodings: Sequence[Encoding], *, batch: int
    ) -> FloatArray:
        starts = range(0, len(encodings), batch)
        batches = [Batch(tuple(encodings[start : start + batch])) for start in starts]
        return np.concatenate([pool(backend.run(part), self.pooling) for part in batches])


@pytest.fixture(scope="module", params=sorted(path.name for path in CHECKPOINTS.iterdir()))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    name = str(request.param)
    directory = tmp_path_factory.mktemp(name)
    write_bundle(CHECKPOINTS / name, directory, ExportOptions(name), print)
    golden = json.loads((CHECKPOINTS / name / "golden.json").read_bytes())
    return Model(ModelBundle.open(directory), golden["max_input_tokens"], golden["texts"])


@pytest.fixture(scope="module")
def onnx(model: Model) -> Iterator[OnnxBackend]:
    backend = OnnxBackend(model.path(FileRole.ONNX), precision="fp32", threads=1)
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def gguf(model: Model) -> Iterator[Backend]:
    pytest.importorskip(
        "llama_cpp", reason="llama.cpp is not installed: its vectors were not compared with torch"
    )
    from engine.backends.gguf import GgufBackend

    backend = GgufBackend(
        model.path(FileRole.GGUF),
        pooling=model.pooling,
        precision="f32",
        max_input_tokens=model.bundle.manifest.max_input_tokens,
        max_batch_tokens=4096,
        threads=1,
    )
    yield backend
    backend.close()


def test_token_ids_are_the_reference_tokenizers(model: Model) -> None:
    """Every text has exactly the reference's ids: with prompts, and where it is cut."""
    manifest = model.bundle.manifest
    tokenizer = Tokenizer.from_file(
        model.path(FileRole.TOKENIZER),
        vocabulary_size=manifest.vocabulary_size,
        max_input_tokens=min(model.max_input_tokens, manifest.max_input_tokens),
        max_client_batch_size=1,
        max_request_tokens=1 << 20,
        prompts=manifest.prompts,
    )
    for row in model.rows:
        (encoding,) = tokenizer.encode(
            row["text"], truncate=Truncate.END, prompt_name=row.get("prompt_name")
        )
        assert encoding.input_ids.tolist() == row["input_ids"]
        assert encoding.truncated == row.get("truncated", False)


@pytest.mark.parametrize("batch", [1, 4, 32])
def test_onnx_runtime_has_torchs_vectors(model: Model, onnx: OnnxBackend, batch: int) -> None:
    """Alone and in batches of mixed lengths: cosine >= 0.999999 for each text."""
    vectors = finish(model.pooled(onnx, batch=batch), normalize=True)
    assert closeness(model.torch, vectors).min_cosine >= MIN_COSINE_FLOAT32


def test_llama_cpp_has_torchs_vectors(model: Model, gguf: Backend) -> None:
    """Cosine >= 0.9999 for each text."""
    vectors = finish(
        model.pooled(gguf, batch=gguf.max_batch_sequences),
        normalize=True,
    )
    assert closeness(model.torch, vectors).min_cosine >= MIN_COSINE


def test_the_reference_has_torchs_vectors(model: Model) -> None:
    """Cosine >= 0.999999 for each text."""
    vectors = Reference(GgufFile(model.path(FileRole.GGUF))).embed(
        [encoding.input_ids for encoding in model.encodings], pooling=model.pooling, normalize=True
    )
    assert closeness(model.torch, vectors).min_cosine >= MIN_COSINE_FLOAT32


@pytest.mark.parametrize("seed", range(3))
def test_a_vector_does_not_depend_on_its_batch(model: Model, onnx: OnnxBackend, seed: int) -> None:
    """In any order, among any others: max abs diff <= 1e-5."""
    alone = model.pooled(onnx, batch=1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(alone))
    encodings = model.encodings
    mixed = model.pooled_of(
        onnx, [encodings[index] for index in order], batch=int(rng.integers(2, len(order)))
    )
    expected, found = (finish(values, normalize=True) for values in (alone[order], mixed))
    assert np.abs(expected - found).max() <= MAX_ABS_DIFF_IN_BATCHES


@pytest.mark.parametrize("engine", ["onnx", "gguf"])
def test_cut_vectors_are_torchs(model: Model, engine: str, request: pytest.FixtureRequest) -> None:
    """At every Matryoshka size that torch computed; the manifest states the same sizes."""
    sizes = sorted({int(size) for row in model.rows for size in row.get("matryoshka", {})})
    assert sorted(model.bundle.manifest.matryoshka_dimensions) == sizes
    pooled = model.pooled(request.getfixturevalue(engine), batch=1)
    for size in sizes:
        expected = np.stack([decode_vector(row["matryoshka"][str(size)]) for row in model.rows])
        found = cut(finish(pooled, normalize=True), dimensions=size)
        assert closeness(expected, found).min_cosine >= MIN_COSINE


def test_the_bundle_was_certified(model: Model) -> None:
    """Every file that computes was measured against the reference on 64 texts, and passed."""
    certificate = model.bundle.manifest.certificate
    assert certificate is not None
    assert certificate.files
    assert all(row.passed and row.min_cosine >= MIN_COSINE for row in certificate.files)
