from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from engine.errors import ExportError
from engine.export.gguf_file import GgufFile
from engine.export.reference import Reference
from engine.export.reference.functions import erf
from engine.golden import closeness
from engine.model import FileRole, ModelBundle
from engine.types import Pooling
from tests.engine.export.conftest import GOLDEN, TorchVectors
from tests.engine.export.small_models import Tensors, change_gguf


def test_erf_is_the_error_function() -> None:
    values = np.concatenate([np.linspace(-7, 7, 20_001), [0.0, -0.0, 1e-30, 5.0, -5.0]])
    expected = np.array([math.erf(value) for value in values.astype(np.float32).tolist()])
    assert np.abs(erf(values.astype(np.float32)) - expected).max() < 2e-7


def test_it_agrees_with_torch(small_bert_gguf: GgufFile, small_bert_torch: TorchVectors) -> None:
    vectors = Reference(small_bert_gguf).embed(
        small_bert_torch.input_ids, pooling=Pooling.CLS, normalize=True
    )
    found = closeness(small_bert_torch.vectors, vectors)
    assert found.min_cosine >= 0.999999
    assert found.max_abs_diff <= 1e-5


def test_a_text_alone_has_the_vector_that_it_has_among_others(
    small_bert_gguf: GgufFile, small_bert_torch: TorchVectors
) -> None:
    reference = Reference(small_bert_gguf)
    sequences = small_bert_torch.input_ids
    together = reference.token_vectors(sequences)
    for ids, vectors in zip(sequences, together, strict=True):
        (alone,) = reference.token_vectors([ids])
        assert vectors.shape == alone.shape
        assert np.abs(vectors - alone).max() <= 1e-5


def test_pooling_takes_the_tokens_that_it_names(small_bert_gguf: GgufFile) -> None:
    reference = Reference(small_bert_gguf)
    ids = [np.array([2, 50, 60, 3], dtype=np.int32)]
    (tokens,) = reference.token_vectors(ids)
    expected = {
        Pooling.CLS: tokens[0],
        Pooling.LAST_TOKEN: tokens[3],
        Pooling.MEAN: tokens.mean(axis=0),
    }
    for pooling, vector in expected.items():
        (pooled,) = reference.embed(ids, pooling=pooling, normalize=False)
        assert np.abs(pooled - vector).max() <= 1e-6


@pytest.mark.model
def test_the_default_model_agrees_with_torch(default_bundle: ModelBundle) -> None:
    torch = TorchVectors.load(GOLDEN / "all-MiniLM-L6-v2.json")
    entry = default_bundle.manifest.file(FileRole.GGUF)
    assert entry is not None
    reference = Reference(GgufFile(default_bundle.path(entry)))
    vectors = reference.embed(torch.input_ids, pooling=Pooling.MEAN, normalize=True)
    found = closeness(torch.vectors, vectors)
    assert found.min_cosine >= 0.999999
    assert found.max_abs_diff <= 1e-5


def test_weights_so_large_that_vectors_are_not_finite_are_one_error(
    small_bert_gguf: GgufFile, tmp_path: Path
) -> None:
    def enlarge(arrays: Tensors) -> None:
        arrays["blk.0.ffn_up.weight"] *= np.float32(1e38)
        arrays["blk.0.ffn_down.weight"] *= np.float32(1e38)

    file = change_gguf(small_bert_gguf, tmp_path / "large.gguf", tensors=enlarge)
    ids = [np.array([2, 7, 3], np.int32)]
    with pytest.raises(ExportError, match="vectors that are not finite"):
        Reference(file).embed(ids, pooling=Pooling.MEAN, normalize=True)
