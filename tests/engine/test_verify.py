from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import IntegrityError
from engine.export.exporter import export
from engine.export.golden_maker import write_golden_set
from engine.export.options import ExportOptions
from engine.golden import GoldenSet
from engine.model import FileRole, ModelBundle, sha256_of
from engine.verify import FileReport, VerifyReport, verify
from tests.engine.export.conftest import SMALL_BERT


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    options = ExportOptions(gguf=("f32",), onnx=("fp32", "q8_0"))
    return export(SMALL_BERT, tmp_path_factory.mktemp("made") / "bundle", options, print)


@pytest.fixture
def copy(made: ModelBundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.directory, tmp_path / "copy"))


def _rehash(directory: Path, path: str) -> None:
    """Make the manifest agree with a file that was changed."""
    document = json.loads((directory / "manifest.json").read_bytes())
    for row in document["files"]:
        if row["path"] == path:
            row["sha256"] = sha256_of(directory / path)
            row["bytes"] = (directory / path).stat().st_size
    (directory / "manifest.json").write_text(json.dumps(document))


def _change_golden(directory: Path, golden: GoldenSet) -> None:
    write_golden_set(golden, directory / "golden.json")
    _rehash(directory, "golden.json")


def _golden(bundle: ModelBundle) -> GoldenSet:
    entry = bundle.manifest.file(FileRole.GOLDEN)
    assert entry is not None
    return GoldenSet.load(bundle.path(entry))


def test_what_is_measured_is_what_was_certified(made: ModelBundle) -> None:
    report = verify(made)
    assert (report.passed, report.other_ids, report.texts) == (True, (), 64)
    assert report.space == made.manifest.fingerprint
    required = [row.path for row in report.files if row.backend != "openvino"]
    assert required == ["model.gguf", "model.onnx", "model.q8_0.onnx"]
    assert made.manifest.certificate is not None
    certified = {(row.path, row.backend): row.min_cosine for row in made.manifest.certificate.files}
    for row in report.files:
        if row.agreement is not None:
            assert row.agreement.min_cosine == pytest.approx(
                certified[row.path, row.backend], abs=1e-6
            )


def test_an_altered_file_is_refused_before_anything_runs(copy: Path) -> None:
    data = bytearray((copy / "model.onnx_data").read_bytes())
    data[5000] ^= 1
    (copy / "model.onnx_data").write_bytes(data)
    with pytest.raises(IntegrityError, match=r"model\.onnx_data has the SHA-256"):
        verify(ModelBundle.open(copy))


def test_other_vectors_fail(made: ModelBundle, copy: Path) -> None:
    golden = _golden(made)
    turned = replace(golden.texts[3], embedding=-golden.texts[3].embedding)
    _change_golden(copy, replace(golden, texts=(turned, *golden.texts[1:])))
    report = verify(ModelBundle.open(copy))
    assert not report.passed
    assert all(row.failed for row in report.files if row.not_checked is None)


def test_other_ids_fail_and_are_named(made: ModelBundle, copy: Path) -> None:
    golden = _golden(made)
    first = golden.texts[0]
    longer = replace(first, input_ids=np.append(first.input_ids, np.int32(5)))
    _change_golden(copy, replace(golden, texts=(longer, *golden.texts[1:])))
    report = verify(ModelBundle.open(copy))
    assert (report.passed, report.other_ids) == (False, (first.name,))


def test_a_file_that_does_not_load_fails_and_the_others_are_still_measured(copy: Path) -> None:
    (copy / "model.onnx").write_bytes(b"not onnx")
    _rehash(copy, "model.onnx")
    report = verify(ModelBundle.open(copy))
    rows = {row.path: row for row in report.files if row.backend != "openvino"}
    assert "can't load" in str(rows["model.onnx"].error)
    assert rows["model.q8_0.onnx"].agreement is not None


def _recertify(directory: Path, **changes: object) -> None:
    """Change what the certificate says of `model.onnx`; without changes it says nothing."""
    document = json.loads((directory / "manifest.json").read_bytes())
    rows = document["certificate"]["files"]
    own = [row for row in rows if (row["path"], row["backend"]) == ("model.onnx", "onnx")]
    others = [row for row in rows if row not in own]
    document["certificate"]["files"] = others + [row | changes for row in own if changes]
    (directory / "manifest.json").write_text(json.dumps(document))


def _fp32(directory: Path) -> FileReport:
    report = verify(ModelBundle.open(directory))
    found = [row for row in report.files if (row.path, row.backend) == ("model.onnx", "onnx")]
    assert report.passed is not found[0].failed
    return found[0]


def test_a_file_without_a_row_in_the_certificate_is_measured_and_said_to_have_none(
    copy: Path,
) -> None:
    """As where its runtime was missing when the bundle was made."""
    assert (_fp32(copy).certified_cosine or 0.0) >= 0.9999
    _recertify(copy)
    row = _fp32(copy)
    assert row.agreement is not None
    assert (row.failed, row.certified_cosine) == (False, None)


def test_a_certificate_below_its_tolerance_fails_whatever_it_says(copy: Path) -> None:
    """Such a file is not served, however it computes here."""
    _recertify(copy, min_cosine=0.9998, passed=True)
    row = _fp32(copy)
    assert row.agreement is not None
    assert (row.agreement.passed, row.failed, row.certified_cosine) == (True, True, 0.9998)


def test_without_golden_texts_there_is_nothing_to_verify(copy: Path) -> None:
    document = json.loads((copy / "manifest.json").read_bytes())
    document["files"] = [row for row in document["files"] if row["role"] != "golden"]
    (copy / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(IntegrityError, match="no golden texts"):
        verify(ModelBundle.open(copy))


def test_nothing_measured_is_not_passed() -> None:
    row = FileReport("model.gguf", "gguf", "f32", not_checked="it is not installed")
    report = VerifyReport(space="s", reference="r", texts=64, other_ids=(), files=(row,))
    assert (row.failed, report.passed) == (False, False)
