"""What a precision that only some CPUs compute exactly becomes on this one, whichever it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import Engine
from engine.config import EngineConfig
from engine.cpu import has_exact_int8
from engine.errors import ConfigurationError
from engine.export.certificate import measure_run
from engine.golden import GoldenSet
from engine.model import ModelBundle
from engine.verify import Run, verify
from tests.engine.bundles import GOLDEN_TEXTS, write_bundle

pytestmark = pytest.mark.cpu
REFUSAL = r"without VNNI or AMX.*--precision fp32"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_bundle(tmp_path)


@pytest.fixture
def as_int8(directory: Path) -> Path:
    """A bundle whose only file of weights is said to be int8, and certified."""
    path = directory / "manifest.json"
    document = json.loads(path.read_bytes())
    for row in document["files"]:
        if row["role"] == "onnx":
            row["precision"] = "int8"
    path.write_text(json.dumps(document), "utf-8")
    return directory


def test_fp32_is_served_on_every_cpu(directory: Path) -> None:
    with Engine.open(directory) as engine:
        assert engine.backend.precision == "fp32"
        assert len(engine.embed(list(GOLDEN_TEXTS)).vectors) == len(GOLDEN_TEXTS)
    assert verify(ModelBundle.open(directory)).passed


def test_int8_is_served_where_it_is_exact_and_refused_with_the_cure_elsewhere(
    as_int8: Path,
) -> None:
    config = EngineConfig(precision="int8")
    if has_exact_int8():
        with Engine.open(as_int8, config) as engine:
            assert engine.backend.precision == "int8"
    else:
        with pytest.raises(ConfigurationError, match=REFUSAL):
            Engine.open(as_int8, config)


def test_int8_is_measured_where_it_is_exact_and_told_to_be_unchecked_elsewhere(
    as_int8: Path,
) -> None:
    """At export, and by `embellama verify`: a file that can't be run here has not failed."""
    bundle = ModelBundle.open(as_int8)
    told: list[str] = []
    (entry,) = [file for file in bundle.manifest.files if file.precision == "int8"]
    golden = GoldenSet.load(as_int8 / "golden.json")
    measured = measure_run(bundle, Run(entry, "onnx"), golden, told.append)
    (report,) = verify(bundle).files
    assert not report.failed
    if has_exact_int8():
        assert measured is not None
        assert (measured.passed, told) == (True, [])
        assert report.agreement is not None
    else:
        assert measured is None
        assert "without VNNI or AMX" in told[0]
        assert "without VNNI or AMX" in str(report.not_checked)
