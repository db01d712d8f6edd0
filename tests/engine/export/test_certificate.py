from __future__ import annotations

import numpy as np
import pytest

from engine.backends.fake import FakeBackend
from engine.errors import CertificateError
from engine.export.certificate import certify
from engine.golden import GoldenSet, GoldenText
from engine.model import Agreement
from engine.pooling import pool
from engine.postprocess import finish
from engine.types import Batch, Encoding, Pooling
from engine.verify import measure


def _golden(noise: float) -> GoldenSet:
    """What the fake backend computes, with noise."""
    random = np.random.default_rng(0)
    texts = []
    for index in range(20):
        ids = np.arange(3 + index, dtype=np.int32)
        output = FakeBackend().run(Batch((Encoding(ids, truncated=False),)))
        vector = finish(pool(output, Pooling.MEAN), normalize=True)[0]
        noisy = vector + noise * random.standard_normal(8).astype(np.float32)
        texts.append(GoldenText(str(index), "text", ids, noisy / np.linalg.norm(noisy)))
    return GoldenSet("made up", tuple(texts))


def _measure(golden: GoldenSet) -> Agreement:
    return measure(FakeBackend(), golden, path="model.onnx", pooling=Pooling.MEAN, normalize=True)


def test_equal_vectors_pass_with_a_cosine_of_one() -> None:
    found = _measure(_golden(noise=0))
    assert found.min_cosine == pytest.approx(1.0, abs=1e-6)
    assert (found.top10_agreement, found.passed, found.tolerance) == (1.0, True, 0.9999)
    assert (found.path, found.backend) == ("model.onnx", "fake")


def test_other_vectors_are_refused_with_the_measured_cosine() -> None:
    golden = _golden(noise=0.1)
    found = _measure(golden)
    assert not found.passed
    with pytest.raises(CertificateError, match=f"{found.min_cosine:.6f}"):
        certify(golden, [found])


def test_a_certificate_says_what_was_measured_with_what() -> None:
    golden = _golden(noise=0)
    certificate = certify(golden, [_measure(golden)])
    assert (certificate.reference, certificate.texts) == ("made up", 20)
    assert {"numpy", "onnx", "gguf", "tokenizers"} <= set(certificate.tools)
    assert "llama-cpp-python" not in certificate.tools
