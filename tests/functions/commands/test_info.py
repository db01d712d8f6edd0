from __future__ import annotations

from pathlib import Path

import pytest

from engine.golden import reference_of_weights
from engine.model import MANIFEST_NAME, BundleFile, FileRole, Manifest
from engine.testing import fake_engine
from functions.cli import main
from tests.engine.certificates import agreement, certificate, with_certificate


def _manifest() -> Manifest:
    with fake_engine(matryoshka_dimensions=(4, 2), prompts={"query": "q: "}) as engine:
        return engine.manifest


def _write(directory: Path, manifest: Manifest) -> str:
    (directory / MANIFEST_NAME).write_text(manifest.to_json(), "utf-8")
    return str(directory)


def test_the_summary_names_what_decides_a_vector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = _manifest()
    assert main(["info", _write(tmp_path, manifest)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "name fake-model",
        f"directory {tmp_path}",
        f"space {'f' * 32}",
        "architecture fake",
        "pooling mean",
        "normalize yes",
        "dimensions 8",
        "matryoshka 4, 2",
        "max input tokens 32",
        f"vocabulary {manifest.vocabulary_size}",
        "prompts query",
        "files",
        "certificate none",
    ]


def test_the_summary_has_the_files_and_their_certificate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x" * 100_000)
    entry = BundleFile(
        role=FileRole.ONNX, path="model.onnx", sha256="0" * 64, bytes=100_000, precision="fp32"
    )
    manifest = with_certificate(_manifest(), certificate(agreement()), entry)
    assert main(["info", _write(tmp_path, manifest)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "model.onnx onnx fp32 0.1 MB" in out
    assert "64 texts, 2026-01-01T00:00:00Z reference: a reference" in out
    assert "model.onnx onnx min cosine 0.999990 (tolerance 0.9999) passed" in out
    assert "not measured" not in out


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"path": "other.onnx"}, "model.onnx onnx not measured"),
        ({"backend": "openvino"}, "model.onnx onnx not measured"),
        ({"min_cosine": 0.9998}, "min cosine 0.999800 (tolerance 0.9999) FAILED"),
        ({"min_cosine": 0.5, "tolerance": 0.4}, "min cosine 0.500000 (tolerance 0.4) FAILED"),
    ],
)
def test_the_summary_says_what_the_certificate_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, object], expected: str
) -> None:
    """A file that nobody measured, and a row that says passed and is below its tolerance."""
    (tmp_path / "model.onnx").write_bytes(b"x")
    entry = BundleFile(
        role=FileRole.ONNX, path="model.onnx", sha256="0" * 64, bytes=1, precision="fp32"
    )
    manifest = with_certificate(_manifest(), certificate(agreement(**row)), entry)
    assert main(["info", _write(tmp_path, manifest)]) == 0
    assert expected in " ".join(capsys.readouterr().out.split())


def test_a_cosine_to_a_quantised_file_is_never_without_a_word_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    entry = BundleFile(
        role=FileRole.ONNX, path="model.onnx", sha256="0" * 64, bytes=1, precision="fp32"
    )
    rows = certificate(agreement(min_cosine=1.0)).model_copy(
        update={"reference": reference_of_weights("q8_0")}
    )
    assert main(["info", _write(tmp_path, with_certificate(_manifest(), rows, entry))]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if "1.000000" in line)
    assert row.endswith("(tolerance 0.9999) passed against the quantised file itself")
    assert any("reference: " in line and "the quantised file itself" in line for line in lines)
