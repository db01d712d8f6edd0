"""A bundle that is made where OpenVINO is installed, served in bf16."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from engine import Engine
from engine.config import EngineConfig
from engine.cpu import has_bf16
from engine.export.default_model import installed_checkpoint
from engine.export.exporter import export
from engine.export.options import ExportOptions
from engine.model import Agreement, ModelBundle
from engine.verify import verify

pytest.importorskip("openvino", reason="not checked: OpenVINO is not installed")
if not has_bf16():
    pytest.skip("not checked: this CPU has no bf16", allow_module_level=True)

TEXTS = ["a", "What is a vector space?", "one two three " * 40, "où est la gare ?"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("openvino") / "bundle"
    export(installed_checkpoint(), output, ExportOptions(gguf=(), onnx=("fp32",)), print)
    return output


@pytest.fixture(scope="module")
def in_bf16(bundle: Path) -> Iterator[Engine]:
    with Engine.open(bundle) as engine:
        yield engine


def _certified(bundle: Path) -> dict[str, Agreement]:
    certificate = ModelBundle.open(bundle).manifest.certificate
    assert certificate is not None
    return {row.backend: row for row in certificate.files}


def test_the_certificate_has_both_runtimes_of_the_file(bundle: Path) -> None:
    rows = _certified(bundle)
    assert set(rows) == {"onnx", "openvino"}
    assert rows["openvino"].min_cosine >= 0.9999


def test_auto_takes_what_is_certified_so_close(bundle: Path, in_bf16: Engine) -> None:
    assert ("openvino", "bf16") == (in_bf16.backend.name, in_bf16.backend.precision)
    assert f"{_certified(bundle)['openvino'].min_cosine:.6f}" in in_bf16.reason


def test_both_precisions_serve_one_space(bundle: Path, in_bf16: Engine) -> None:
    with Engine.open(bundle, EngineConfig(precision="fp32")) as exact:
        assert exact.backend.name == "onnx"
        assert exact.space == in_bf16.space
        expected = exact.embed(TEXTS).vectors
    found = in_bf16.embed(TEXTS).vectors
    assert np.einsum("nd,nd->n", expected, found).min() >= 0.9999


def test_a_vector_does_not_depend_on_its_request(in_bf16: Engine) -> None:
    together = in_bf16.embed(TEXTS).vectors
    alone = np.concatenate([in_bf16.embed([text]).vectors for text in TEXTS])
    np.testing.assert_array_equal(together, alone)


def test_verify_measures_both_runtimes(bundle: Path) -> None:
    report = verify(ModelBundle.open(bundle))
    assert report.passed
    assert {row.backend for row in report.files} == {"onnx", "openvino"}
