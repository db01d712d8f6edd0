"""Vectors that a GPU computes, against torch's: GGUF with all layers on it, and ONNX on CUDA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine import Engine
from engine.config import BackendChoice, EngineConfig
from engine.errors import ConfigurationError
from engine.golden import GoldenSet, closeness, minimum_cosine
from tests.gpu.bundle import gpu_bundle
from tests.parity.batches import MAX_ABS_DIFF_IN_BATCHES, difference_in_batches

pytestmark = [pytest.mark.gpu, pytest.mark.model]

FILES = [("gguf", "f32"), ("gguf", "f16"), ("gguf", "q8_0"), ("onnx", "fp32")]


@pytest.fixture(scope="module", params=FILES, ids="-".join)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """The default model on the GPU, once for each of its files."""
    backend, precision = request.param
    config = EngineConfig(engine=BackendChoice(backend), precision=precision, gpu=True)
    try:
        opened = Engine.open(gpu_bundle(), config)
    except ConfigurationError as exc:
        pytest.skip(f"not checked: {backend} can't use the GPU: {exc.message}")
    with opened:
        yield opened


def test_it_computes_on_the_gpu(engine: Engine) -> None:
    assert engine.backend.device == "cuda"


def test_vectors_are_torchs(engine: Engine, torch_golden: GoldenSet) -> None:
    """Full vectors of all golden texts in one request: F16 and better have a cosine >= 0.9999."""
    vectors = engine.embed([text.text for text in torch_golden.texts]).vectors
    found = closeness(torch_golden.vectors, vectors)
    print(f"{engine.backend.name} {engine.backend.precision}: {found}")
    assert found.min_cosine >= minimum_cosine(engine.backend.precision)


@pytest.mark.parametrize("seed", range(4))
def test_a_vector_does_not_depend_on_its_batch(
    engine: Engine, torch_golden: GoldenSet, seed: int
) -> None:
    """Alone or among any others, in any order: max abs diff <= 1e-5."""
    texts = [text.text for text in torch_golden.texts]
    assert difference_in_batches(engine, texts, seed) <= MAX_ABS_DIFF_IN_BATCHES
